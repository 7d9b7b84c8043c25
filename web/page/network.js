// The network: its neurons' pictures, the lines between them, and what changes it.
import { colours, css, classColour, neuron as paint, prepared } from './draw.js';
import { $, h } from './element.js';
import { activations, layersOf, layersText } from './state.js';

/** The most neurons of a layer that are shown: SHOWN in src/view.rs. */
const SHOWN = 12;
const MAX_LAYERS = 8, MAX_WIDTH = 256;

export class Network {
  /** What is shown large: [layer, neuron]. */
  pinned;
  #now;
  #change;
  #pin;
  #columns = [];
  #view;
  #size;

  /** `now()` gives the settings, also while a run of them is being opened. */
  constructor(now, change, pin) {
    this.#now = now;
    this.#change = change;
    this.#pin = pin;
    $('add-layer').onclick = () => {
      const layers = layersOf(this.#now());
      this.#change({ layers: layersText([...layers, layers.at(-1) ?? [6, 'tanh']]) });
    };
    new ResizeObserver(() => this.#lines()).observe($('columns'));
  }

  /** Builds the columns of these settings, for data of these columns. */
  build(settings, about) {
    const layers = layersOf(settings);
    if (this.pinned && (layers[this.pinned[0]]?.[0] ?? 0) <= this.pinned[1]) this.pinned = undefined;
    $('add-layer').disabled = layers.length >= MAX_LAYERS;
    const change = (at, different) => this.#change({ layers: layersText(layersOf(this.#now()).map((own, i) => (i === at ? different(own) : own))) });
    const focused = document.activeElement?.dataset?.key;
    this.#columns = [];
    const inputs = about.names.map((name, column) => ({ name, column }));
    const columns = [this.#ends('Inputs', inputs.slice(0, SHOWN).map(({ name, column }) => {
      const canvas = h('canvas', { width: 16, height: 16 });
      const values = new Float32Array(256);
      const [x, y] = [settings.x, settings.y];
      for (let at = 0; at < 256; at++) values[at] = column === x ? (at % 16) - 7.5 : column === y ? 7.5 - (at >> 4) : 0;
      if (about.names.length === 1) for (let at = 0; at < 256; at++) values[at] = (at % 16) - 7.5;
      paint(canvas, values, 16);
      return [canvas, name];
    }), about.names.length - SHOWN)];
    layers.forEach(([width, activation], at) => {
      const shown = Math.min(width, SHOWN);
      const button = (text, label, by, key) => h('button', {
        type: 'button', textContent: text, title: label, 'aria-label': label, 'data-key': `${key}${at}`, disabled: width + by < 1 || width + by > MAX_WIDTH,
        onclick: () => change(at, ([width, activation]) => [Math.min(MAX_WIDTH, Math.max(1, width + by)), activation]),
      });
      const select = h('select', { 'aria-label': `Activation of layer ${at + 1}`, 'data-key': `a${at}`, onchange: () => change(at, ([width]) => [width, select.value]) },
        ...activations.map((name) => h('option', { value: name, textContent: name, selected: name === activation })));
      const away = h('button', {
        type: 'button', className: 'away', textContent: '×', title: `Take layer ${at + 1} away`, 'aria-label': `Take layer ${at + 1} away`,
        onclick: () => this.#change({ layers: layersText(layersOf(this.#now()).filter((_, i) => i !== at)) }),
      });
      const head = h('div', { className: 'head' },
        h('span', {}, `Layer ${at + 1} `, away),
        h('div', { className: 'count' },
          button('−', `One neuron less in layer ${at + 1}`, -1, 'l'), h('output', { textContent: width }), button('+', `One neuron more in layer ${at + 1}`, 1, 'm')),
        select);
      const neurons = Array.from({ length: shown }, (_, i) => {
        const pressed = this.pinned?.[0] === at && this.pinned[1] === i;
        const square = h('button', {
          type: 'button', className: 'neuron', 'aria-pressed': pressed, 'aria-label': `Neuron ${i + 1} of layer ${at + 1}: show it large`, 'data-key': `n${at}.${i}`,
          onclick: () => this.#pinned([at, i]),
        }, h('canvas', { width: 24, height: 24 }));
        return square;
      });
      this.#columns.push(neurons);
      columns.push(h('div', { className: 'column' }, head, ...neurons, width > SHOWN ? h('span', { className: 'more', textContent: `and ${width - SHOWN} more` }) : undefined));
    });
    const outputs = about.classes.length > 2 ? about.classes : [about.classes.length ? about.classes[1] : about.target];
    columns.push(this.#ends(about.classes.length ? 'Output' : 'Output', outputs.slice(0, SHOWN).map((name, i) => {
      const canvas = h('canvas', { width: 16, height: 16 });
      paint(canvas, new Float32Array(256).fill(1), 16);
      const context = canvas.getContext('2d');
      context.fillStyle = css(classColour(about.classes.length > 2 ? i : 1));
      context.fillRect(0, 0, 16, 16);
      return [canvas, name];
    }), outputs.length - SHOWN));
    $('columns').replaceChildren(...columns);
    if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    this.#view = undefined;
    this.#lines();
  }

  /** The column of inputs, or of outputs. */
  #ends(title, pictures, more) {
    const squares = pictures.map(([canvas, name]) => h('div', { title: name },
      h('div', { className: 'neuron' }, canvas), h('div', { className: 'name', textContent: name })));
    this.#columns.push(squares.map((square) => square.firstChild));
    return h('div', { className: 'column ends' }, h('div', { className: 'head', textContent: title }), ...squares,
      more > 0 ? h('span', { className: 'more', textContent: `and ${more} more` }) : undefined);
  }

  #pinned(which) {
    const same = this.pinned && this.pinned[0] === which[0] && this.pinned[1] === which[1];
    this.pinned = same ? undefined : which;
    this.#columns.slice(1, -1).forEach((neurons, layer) => neurons.forEach((neuron, i) => {
      neuron.setAttribute('aria-pressed', this.pinned?.[0] === layer && this.pinned[1] === i);
    }));
    this.#pin();
  }

  /** Shows the neurons' answers and the weights. */
  draw({ neurons, weights }, size) {
    this.#view = { neurons, weights };
    this.#size = size;
    neurons.forEach((values, layer) => this.#columns[layer + 1]?.forEach((neuron, i) => {
      const rows = values.length / this.#columns[layer + 1].length / size;
      paint(neuron.firstChild, values.subarray(i * size * rows, (i + 1) * size * rows), size);
    }));
    this.#lines();
  }

  /** The values of the pinned neuron, if one is. */
  get values() {
    if (!this.pinned || !this.#view) return undefined;
    const [layer, neuron] = this.pinned;
    const values = this.#view.neurons[layer], each = values.length / this.#columns[layer + 1].length;
    return { values: values.subarray(neuron * each, (neuron + 1) * each), size: this.#size };
  }

  #lines() {
    const canvas = $('lines'), columns = $('columns');
    canvas.style.width = `${columns.scrollWidth}px`;
    canvas.style.height = `${columns.offsetHeight}px`;
    const [context, width, height] = prepared(canvas);
    context.clearRect(0, 0, width, height);
    const origin = canvas.getBoundingClientRect();
    const places = this.#columns.map((neurons) => neurons.map((neuron) => {
      const { left, right, top, bottom } = neuron.getBoundingClientRect();
      return [left - origin.left, right - origin.left, (top + bottom) / 2 - origin.top];
    }));
    context.lineCap = 'round';
    for (let layer = 0; layer + 1 < places.length; layer++) {
      const from = places[layer], to = places[layer + 1], weights = this.#view?.weights[layer];
      const columnsOfWeights = from.length;
      let most = 1e-6;
      weights?.forEach((w) => { most = Math.max(most, Math.abs(w)); });
      to.forEach(([x1, , y1], o) => from.forEach(([, x0, y0], i) => {
        const w = weights ? weights[o * columnsOfWeights + i] / Math.max(1, most) : 0;
        context.beginPath();
        context.moveTo(x0, y0);
        const middle = (x0 + x1) / 2;
        context.bezierCurveTo(middle, y0, middle, y1, x1, y1);
        context.strokeStyle = w === 0 ? colours().line : css(classColour(w < 0 ? 0 : 1), 0.25 + 0.7 * Math.min(1, Math.abs(w)));
        context.lineWidth = Math.max(0.5, Math.min(6, 6 * Math.abs(w)));
        context.stroke();
      }));
    }
  }
}
