// The settings' controls: each changes the settings, which are the address.
import { classColour, css, signed } from './draw.js';
import { $, h } from './element.js';

/** Data sets: name, words, and a point of its icon from a number of 0 to 1: [x, y, class or value], -1 to 1. */
const sets = [
  ['disk', 'Disk', (u, v) => { const [x, y] = [2 * u - 1, 2 * v - 1]; return [x, y, x * x + y * y < 0.64 ? 1 : 0]; }],
  ['moons', 'Moons', (u, v) => {
    const [x, y] = [0.6 * Math.cos(Math.PI * u), 0.6 * Math.sin(Math.PI * u)];
    return v < 0.5 ? [x - 0.3, y - 0.2, 0] : [0.3 - x, 0.2 - y, 1];
  }],
  ['spirals', 'Spirals', (u, v) => {
    const way = Math.sqrt(u), angle = 3.3 * Math.PI * way + (v < 0.5 ? 0 : Math.PI);
    return [0.9 * way * Math.cos(angle), 0.9 * way * Math.sin(angle), v < 0.5 ? 0 : 1];
  }],
  ['xor', 'XOR', (u, v) => { const [x, y] = [2 * u - 1, 2 * v - 1]; return [x, y, x * y < 0 ? 1 : 0]; }],
  ['islands', 'Islands', (u, v) => {
    const at = Math.min(4, Math.floor(5 * u)), [x, y] = [[-0.55, -0.5], [0.55, 0.5], [0.5, -0.55], [-0.5, 0.55], [0, 0]][at];
    const angle = 44 * u, away = 0.3 * v;
    return [x + away * Math.cos(angle), y + away * Math.sin(angle), [0, 0, 1, 1, 2][at]];
  }],
  ['hills', 'Hills', (u, v) => {
    const [x, y] = [2 * u - 1, 2 * v - 1], hill = (a, b) => Math.exp(-5 * ((x - a) ** 2 + (y - b) ** 2));
    return [x, y, { value: hill(0.5, 0.4) - hill(-0.5, -0.3) + 0.6 * hill(-0.45, 0.6) }];
  }],
  ['saddle', 'Saddle', (u, v) => { const [x, y] = [2 * u - 1, 2 * v - 1]; return [x, y, { value: x * x - y * y }]; }],
  ['points', 'Draw', (u, v) => {
    const [x, y] = [2 * u - 1, 2 * v - 1];
    return Math.hypot(x + 0.4, y - 0.3) < 0.35 ? [x, y, 0] : Math.hypot(x - 0.4, y + 0.3) < 0.35 ? [x, y, 1] : [2, 2, 0];
  }],
];

/** Sets whose targets are numbers. */
const surfaces = ['hills', 'saddle'];

function icon(canvas, point) {
  Object.assign(canvas, { width: 96, height: 96 });
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, 96, 96);
  for (let i = 1; i <= 170; i++) {
    // Points that fill the square evenly.
    const [x, y, what] = point((i * 0.754877666) % 1, (i * 0.569840291) % 1);
    context.fillStyle = css(typeof what === 'object' ? signed(what.value) : classColour(what));
    context.beginPath();
    context.arc(48 + 42 * x, 48 - 42 * y, 3.6, 0, 7);
    context.fill();
  }
}

const range = (key, words, from, to, step, unit) => ({ key, words, from, to, step, unit });
const choice = (key, words, options) => ({ key, words, options });

export const rates = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];
const numbers = (values) => values.map((value) => [value, String(value)]);

export class Panels {
  #change;

  constructor(change) {
    this.#change = change;
    $('sets').append(...sets.map(([name, words, point], at) => h('button', {
      type: 'button', role: 'radio', 'data-set': name,
      onclick: () => this.#choose(name),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = $('sets').children[(at + step + sets.length) % sets.length];
        next.focus();
        this.#choose(next.dataset.set);
      },
    }, h('canvas', {}), words)));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.icons());
    this.icons();
  }

  icons() {
    [...$('sets').children].forEach((button, at) => icon(button.firstChild, sets[at][2]));
  }

  #choose(name) {
    const loss = surfaces.includes(name) ? 'squared' : 'entropy';
    // A few points to begin with.
    const points = name === 'points' ? { points: this.settings?.points || 'fuoa089s708cna0fukm086q908erg0u8bp1mnfm1mqao1u8811mkdn1msev1' } : {};
    this.#change({ data: name, loss, x: 0, y: 1, ...points });
  }

  /** Shows these settings, for data of classes or of numbers. */
  show(settings, about) {
    this.settings = settings;
    const drawn = settings.data !== 'csv' && settings.data !== 'points';
    for (const button of $('sets').children) {
      const on = button.dataset.set === settings.data;
      button.setAttribute('aria-checked', on);
      button.tabIndex = on || (settings.data === 'csv' && button === $('sets').firstChild) ? 0 : -1;
    }
    this.#sliders([
      ...(drawn ? [range('n', 'Points', 20, 2000, 20), range('noise', 'Noise', 0, 60, 1, '%')] : []),
      range('share', 'For training', 10, 90, 5, '%'),
    ], settings);
    const classes = about ? about.classes.length > 0 : !surfaces.includes(settings.data);
    this.#fields([
      choice('loss', 'Loss', classes ? [['entropy', 'cross-entropy'], ['squared', 'squared error']]
        : [['squared', 'squared error'], ['absolute', 'absolute error'], ['huber', 'Huber']]),
      choice('opt', 'Optimizer', [['sgd', 'SGD'], ['adam', 'Adam'], ['adamw', 'AdamW'], ['rmsprop', 'RMSprop']]),
      choice('rate', 'Learning rate', numbers(rates)),
      ...(['sgd', 'rmsprop'].includes(settings.opt) ? [choice('momentum', 'Momentum', numbers([0, 0.5, 0.9, 0.99]))] : []),
      choice('decay', 'Weight decay', numbers([0, 0.0001, 0.001, 0.01, 0.1])),
      choice('batch', 'Batch size', numbers([1, 4, 8, 16, 32, 64, 128, 256])),
      choice('epochs', 'Stop after (epochs)', [100, 300, 600, 1500, 5000, 20000].map((value) => [value, value.toLocaleString('en')])),
    ], settings);
  }

  #sliders(list, settings) {
    const place = $('data-settings');
    const keys = [...list.map(({ key }) => key), 'seed'].join();
    if (place.dataset.keys !== keys) {
      place.dataset.keys = keys;
      place.replaceChildren(...list.map(({ key, words, from, to, step }) => {
        const output = h('output', {});
        const input = h('input', {
          type: 'range', min: from, max: to, step, 'data-key': key,
          oninput: () => { output.textContent = input.value + (list.find((own) => own.key === key).unit ?? ''); },
          onchange: () => this.#change({ [key]: Number(input.value) }),
        });
        return h('label', {}, words, output, input);
      }), h('label', { title: 'Decides the points, the first weights and the order: the same seed gives the same run' }, 'Seed', h('input', {
        type: 'number', min: 0, max: 999999999, step: 1, 'data-key': 'seed',
        onchange: (event) => this.#change({ seed: Math.min(999999999, Math.max(0, Math.round(Number(event.target.value) || 0))) }),
      })));
    }
    for (const input of place.querySelectorAll('input')) {
      if (document.activeElement !== input || input.type === 'range') input.value = settings[input.dataset.key];
      const unit = list.find(({ key }) => key === input.dataset.key)?.unit ?? '';
      if (input.type === 'range') input.previousSibling.textContent = settings[input.dataset.key] + unit;
    }
  }

  #fields(list, settings) {
    const focused = document.activeElement?.dataset?.key;
    $('training').replaceChildren(...list.map(({ key, words, options }) => {
      const known = options.some(([value]) => value === settings[key]);
      const all = known ? options : [...options, [settings[key], String(settings[key])]];
      const select = h('select', {
        'data-key': key,
        onchange: () => this.#change({ [key]: all[select.selectedIndex][0] }),
      }, ...all.map(([value, text]) => h('option', { textContent: text, selected: value === settings[key] })));
      return h('label', {}, words, select);
    }), h('label', { className: 'check', title: 'Ten networks that differ in their seed alone: how much is luck?' },
      h('input', { type: 'checkbox', 'data-key': 'members', checked: settings.members > 1, onchange: (event) => this.#change({ members: event.target.checked ? 10 : 1 }) }),
      'Train ten at once, with ten seeds'));
    if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}
