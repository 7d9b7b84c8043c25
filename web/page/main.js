// The page: the settings are the address; a change of them opens a run anew, and the worker trains it.
import { Curve } from './curve.js';
import { Drawing } from './drawing.js';
import { classColour, css, plane } from './draw.js';
import { $, h, save } from './element.js';
import { Lab } from './lab.js';
import { Network } from './network.js';
import { Panels, rates } from './panels.js';
import { address, identity, layersOf, parse, pointsOf } from './state.js';
import { kept } from './store.js';
import { ask } from './table.js';

const SIZE = 96, NEURONS = 24;

const lab = new Lab();
let settings = parse(location.hash);
/** The user's table, its columns' roles, and its name. */
let table;
let about, view, curve = new Curve();
let going = false, until = settings.epochs, members = 1;

const fault = (message, ...buttons) => {
  $('message').hidden = !message;
  $('message').replaceChildren(...(message ? [h('p', { textContent: message }), ...buttons] : []));
};

// --- Settings

/** Changes settings: those that decide what is computed begin a new run. */
function change(some) {
  const before = settings;
  settings = { ...settings, ...some };
  history.replaceState(null, '', `#${address(settings)}`);
  if ('epochs' in some) until = settings.epochs;
  if (identity(before) !== identity(settings)) {
    if (settings.data !== 'csv') table = undefined;
    return open({ goOn: going });
  }
  if (before.x !== settings.x || before.y !== settings.y) look();
  showSettings();
  if (going) lab.call('speed', { speed: settings.speed, until });
  return undefined;
}

const drawing = new Drawing(() => settings, change);
const network = new Network(() => settings, change, () => draw());
const panels = new Panels(change);
drawing.onmove = () => draw();

function showSettings() {
  panels.show(settings, about);
  drawing.show();
  $('speed').value = settings.speed;
  $('table-name').hidden = settings.data !== 'csv';
  $('table-name').textContent = table ? `${table.name}: ${about ? about.samples[0].targets.length + about.samples[1].targets.length : 0} rows` : 'A link can’t hold a table: drop the file again.';
}

let opening = 0;

/** Opens a run: of the settings, or of what was kept. */
async function open({ goOn = false, bytes, complain = true } = {}) {
  const number = ++opening;
  setGoing(false);
  try {
    const opened = await lab.call('open', { settings: identity(settings), table, wanted: settings.device, bytes, look: looks() });
    if (number !== opening) return undefined;
    about = opened.about;
    waiting = undefined;
    curve = new Curve();
    until = settings.epochs;
    fault();
    const columns = about.names.length;
    if (settings.x >= columns || settings.y >= columns) Object.assign(settings, { x: 0, y: Math.min(1, columns - 1) });
    showDevice(opened);
    showSettings();
    showKey();
    network.build(settings, about);
    take(opened);
    if (goOn) go();
    return undefined;
  } catch (error) {
    if (number !== opening) return undefined;
    if (settings.data === 'points') {
      const points = pointsOf(settings);
      const samples = [{ inputs: Float32Array.from(points.flatMap(([x, y]) => [x, y])), targets: Float32Array.from(points.map((point) => point[2])) }];
      about = { names: ['x', 'y'], target: 'value', classes: ['blue', 'orange'], samples, bounds: Float32Array.of(-1.1, 1.1, -1.1, 1.1, 0, 1) };
    }
    view = undefined;
    showSettings();
    if (about) network.build(settings, about);
    draw();
    if (complain) fault(error.message);
    return error.message;
  }
}

const looks = () => ({ size: SIZE, neurons: NEURONS, x: settings.x, y: settings.y });

const look = () => lab.call('look', { look: looks() }).then((looked) => {
  if (!looked) return;
  show();
  network.build(settings, about);
  take(looked);
});

// --- Training

function setGoing(value) {
  going = value;
  $('run').replaceChildren(h('span', { 'aria-hidden': 'true', textContent: value ? '❚❚' : '▶' }), value ? ' Pause' : ' Run');
}

function go() {
  if (!view) return;
  fault();
  // At the end, as far again.
  while (until <= view.epochs) until += settings.epochs;
  setGoing(true);
  lab.call('go', { speed: settings.speed, until });
}

const pause = () => lab.call('pause');

$('run').onclick = () => (going ? pause() : go());
$('epoch').onclick = async () => {
  setGoing(false);
  fault();
  await lab.call('epoch');
};
$('restart').onclick = () => open();
$('speed').onchange = () => change({ speed: $('speed').value });

/** What waits to be drawn, with the next frame: in a tab that is hidden there is none, and the worker sends no more. */
let waiting;

function show() {
  if (!waiting) return;
  const next = waiting;
  waiting = undefined;
  take(next);
  lab.call('seen');
}

lab.addEventListener('view', ({ detail }) => {
  waiting = detail;
  requestAnimationFrame(show);
});
lab.addEventListener('paused', ({ detail }) => {
  show();
  setGoing(false);
  take(detail);
});
lab.addEventListener('fault', ({ detail }) => {
  setGoing(false);
  fault(detail.message);
});
lab.addEventListener('diverged', ({ detail }) => {
  setGoing(false);
  const lower = rates.filter((rate) => rate < settings.rate).at(-1) ?? settings.rate / 3;
  const where = detail.message.match(/epoch \d+, step \d+/)?.[0];
  fault(`Training stopped${where ? ` in ${where}` : ''}: the numbers grew beyond all bounds. (${detail.message})`, h('button', {
    type: 'button', id: 'smaller-rate', textContent: `Try a learning rate of ${lower}`, onclick: () => change({ rate: lower }).then(() => go()),
  }));
});
lab.addEventListener('moved', ({ detail }) => {
  waiting = undefined;
  curve = new Curve();
  showDevice(detail);
  take(detail);
  fault(`The graphics processor was lost (${detail.message}). Training went on, on the processor, from epoch ${detail.view.epochs}.`);
});

// --- What is seen

function take({ view: next, pace }) {
  // Pictures may be left out.
  view = { ...next, surface: next.surface ?? view?.surface, neurons: next.neurons ?? view?.neurons, weights: next.weights ?? view?.weights };
  curve.take(view.from, view.curves);
  members = view.members;
  if (view.diverged.length) fault(`${view.diverged.length} of the ten networks left: ${view.diverged[0]}`);
  $('epochs').textContent = `epoch ${view.epochs.toLocaleString('en')}`;
  const microseconds = pace && pace.milliseconds * 1000 / pace.steps;
  $('pace').textContent = pace ? `${microseconds < 10 ? microseconds.toFixed(1) : Math.round(microseconds).toLocaleString('en')} µs a step: up to ${Math.round(1e6 / microseconds).toLocaleString('en')} steps a second` : '';
  const [train, test] = curve.last ?? [];
  const loss = (value) => (value === undefined ? '–' : value < 0.00001 ? '≈ 0' : value.toFixed(value < 0.001 ? 5 : 3));
  $('train-loss').textContent = loss(train);
  $('test-loss').textContent = loss(test);
  const accuracy = view.accuracies[1];
  $('accuracy').hidden = !about.classes.length;
  $('test-accuracy').textContent = accuracy === null ? '–' : `${(100 * accuracy).toFixed(accuracy > 0.995 && accuracy < 1 ? 1 : 0)} %`;
  draw();
}

function draw() {
  const axes = [settings.x, settings.y];
  if (view?.neurons) network.draw(view, NEURONS);
  const pinned = network.values;
  $('pinned').hidden = !pinned;
  if (pinned) $('pinned').textContent = `Neuron ${network.pinned[1] + 1} of layer ${network.pinned[0] + 1} (${layersOf(settings)[network.pinned[0]][1]})`;
  plane($('plane'), { surface: view?.surface, size: SIZE, about, axes, pinned });
  drawing.cursor($('plane'));
  curve.draw($('curve'), members);
}

function showKey() {
  const { classes, target } = about;
  const dot = (colour) => h('i', { style: `background: ${colour}` });
  const [low, high] = about.bounds.slice(-2);
  const short = (value) => String(Number(value.toPrecision(3)));
  $('key').replaceChildren(
    ...(classes.length ? classes.map((name, c) => h('span', {}, dot(css(classColour(c))), name))
      : [h('span', {}, dot(css(classColour(0))), `${target} ${short(low)}`), h('span', {}, dot(css(classColour(1))), short(high))]),
    h('span', {}, h('i', { className: 'ring' }), 'test'));
  const many = about.names.length > 2;
  const select = (key, words) => h('label', {}, `${words} `, h('select', { onchange: (event) => change({ [key]: Number(event.target.value) }) },
    ...about.names.map((name, at) => h('option', { value: at, textContent: name, selected: settings[key] === at }))));
  $('axes').replaceChildren(...(many ? [select('x', 'Across'), select('y', 'Up'), h('span', { className: 'hint', textContent: 'The other columns are at their means.' })] : []));
}

function showDevice({ device, why, name }) {
  $('device').textContent = device === 'webgpu'
    ? `Runs on the graphics processor by WebGPU (${name || 'unnamed'}): ${why}.`
    : `Runs on the processor, in a worker: ${why}.`;
  document.body.dataset.device = device;
}

new ResizeObserver(() => draw()).observe($('plane'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  showSettings();
  if (about) { showKey(); network.build(settings, about); }
  draw();
});

// --- Files

async function takeFile(file) {
  try {
    if (/\.safetensors$/i.test(file.name)) await takeNetwork(new Uint8Array(await file.arrayBuffer()));
    else await takeTable(file.name, new Uint8Array(await file.arrayBuffer()));
  } catch (error) {
    fault(`${file.name}: ${error.message}`);
  }
}

async function takeTable(name, bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('this is no text in UTF-8; save the table as CSV in UTF-8');
  }
  const columns = await lab.call('columns', { text });
  ask(name, columns, async (roles) => {
    const [before, old] = [settings, table];
    const loss = roles.includes('number') ? 'squared' : 'entropy';
    table = { name, text, roles };
    settings = { ...settings, data: 'csv', points: '', loss, x: 0, y: roles.filter((role) => role === 'input').length > 1 ? 1 : 0 };
    const message = await open({ complain: false });
    if (message) {
      [settings, table] = [before, old];
      await open({ complain: false });
      return message;
    }
    history.replaceState(null, '', `#${address(settings)}`);
    go();
    return undefined;
  });
}

async function takeNetwork(bytes) {
  const { inputs, layers, outputs } = await lab.call('layersIn', { bytes });
  const wanted = about.classes.length > 2 ? about.classes.length : 1;
  if (inputs !== about.names.length || outputs !== wanted) {
    throw new Error(`the network takes ${inputs} numbers and gives ${outputs}; this data has ${about.names.length} and ${wanted}. Choose the data it was trained on first.`);
  }
  settings = { ...settings, layers, members: 1 };
  history.replaceState(null, '', `#${address(settings)}`);
  if (await open() !== undefined) return;
  const taken = await lab.call('import', { bytes });
  take(taken);
}

const offered = [
  ['safetensors', 'Network (safetensors)', 'For wgrad, PyTorch and others'],
  ['onnx', 'ONNX', 'For other programs that run networks'],
  ['rust', 'Rust source', 'A function without dependencies'],
  ['csv', 'History (CSV)', 'The losses of all epochs'],
];
$('files').append(
  ...offered.map(([format, words, title]) => h('button', {
    type: 'button', title, 'data-format': format, textContent: words,
    onclick: async () => {
      try {
        const { name, bytes } = await lab.call('export', { format });
        save(name, bytes);
      } catch (error) {
        fault(error.message);
      }
    },
  })),
  h('button', {
    type: 'button', 'data-format': 'png', textContent: 'Picture (PNG)', title: 'The answer and the points',
    onclick: () => $('plane').toBlob((blob) => blob.arrayBuffer().then((bytes) => save('answer.png', bytes, 'image/png'))),
  }),
  h('button', { type: 'button', textContent: 'Open a network…', title: 'A safetensors file of this page, or of wgrad', onclick: () => $('file').click() }));
$('choose-table').onclick = () => $('file').click();
$('file').onchange = async () => {
  const [file] = $('file').files;
  if (file) await takeFile(file);
  $('file').value = '';
};
addEventListener('dragover', (event) => {
  event.preventDefault();
  $('drop').hidden = false;
});
addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').hidden = true; });
addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  const [file] = event.dataTransfer.files;
  if (file) takeFile(file);
});
$('link').onclick = async () => {
  await navigator.clipboard?.writeText(location.href).catch(() => {});
  $('link').textContent = 'Copied';
  setTimeout(() => { $('link').textContent = 'Copy link'; }, 1500);
};

// --- Keys, the address, the start

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, button, dialog, textarea, canvas')) return;
  const call = { ' ': () => $('run').click(), s: () => $('epoch').click(), r: () => $('restart').click() }[event.key.toLowerCase()];
  if (!call) return;
  event.preventDefault();
  call();
});
addEventListener('hashchange', () => {
  const next = parse(location.hash);
  if (address(next) === address(settings)) return;
  settings = next;
  open();
});

async function begin() {
  const record = await kept();
  const same = record && record.settings === identity(settings);
  if (same) ({ table } = record);
  // What was kept may be of another version of this page.
  if (!same || await open({ bytes: record.bytes, goOn: record.going, complain: false }) !== undefined) await open();
  document.body.dataset.ready = 'yes';
}
begin();
