// Trains, away from the page's own thread, which draws. The page posts { id, call, ... } and gets { id, value } or
// { id, error } back, and events: { event, ... }.
import { keep } from './store.js';

/** Epochs a second at each speed. */
const SPEEDS = { slow: 10, normal: 60, full: Infinity };
/** Milliseconds: of training between two looks at messages; between two pictures; between two checkpoints. */
const SLICE = 12, PICTURE = 33, KEEP = 2000;

let run, opened, checkpoint;
let look = { size: 64, neurons: 24, x: 0, y: 1 };
let going = false, speed = 'normal', until = Infinity;
let sent = 0, seen = true, lastPicture = 0, lastKept = 0;
let pace = { steps: 0, milliseconds: 0 };

// One call of wasm at a time.
let last = Promise.resolve();
const inTurn = (work) => {
  const turn = last.then(work, work);
  last = turn.catch(() => {});
  return turn;
};

/** Whether the browser takes a function with this instruction on vectors, which leaves one vector from three. */
const takes = (...instruction) => WebAssembly.validate(new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 16 + instruction.length, 1, 14 + instruction.length, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, ...instruction, 11,
]));

const builds = new Map();

/** The module for a device; for the processor the one that multiplies and adds in one rounding, if the browser can. */
async function build(device) {
  const name = device === 'webgpu' ? 'webgpu' : takes(253, 0x85, 2) ? 'cpu' : 'cpu-plain';
  if (!builds.has(name)) {
    const module = await import(`./wgrad-${name}.js`);
    await module.default({ module_or_path: new URL(`./wgrad-${name}_bg.wasm`, import.meta.url) });
    builds.set(name, module);
  }
  return builds.get(name);
}

/** Which device, and why. */
async function choose(wanted) {
  if (wanted === 'cpu') return { device: 'cpu', why: 'as the address asks for' };
  const adapter = await Promise.resolve(navigator.gpu?.requestAdapter()).catch(() => null);
  if (!adapter) {
    const asked = wanted === 'webgpu' ? 'WebGPU was asked for, but ' : '';
    return { device: 'cpu', why: `${asked}this browser offers no WebGPU` };
  }
  if (wanted === 'webgpu') return { device: 'webgpu', why: 'as the address asks for' };
  if (adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) {
    return { device: 'cpu', why: 'WebGPU would run on the processor, too, and slower' };
  }
  return { device: 'webgpu', why: 'this browser has a graphics processor' };
}

let generation = 0;

async function open({ settings, table, wanted, bytes, look: wantedLook }) {
  going = false;
  generation += 1;
  return inTurn(async () => {
    look = wantedLook;
    const choice = await choose(wanted);
    await start({ settings, table, choice, bytes });
    return { ...choice, name: run.device(), about: run.about(), ...await pictures() };
  });
}

async function start({ settings, table, choice, bytes }) {
  const module = await build(choice.device);
  const next = await module.Run.open(settings, table?.text, table?.roles ?? [], choice.device);
  if (bytes) await next.resume(bytes);
  run?.free();
  run = next;
  opened = { settings, table, choice };
  checkpoint = bytes;
  sent = 0;
  seen = true;
  pace = { steps: 0, milliseconds: 0 };
}

async function pictures() {
  const view = await run.view(sent, look.size, look.neurons, look.x, look.y);
  sent = view.epochs;
  lastPicture = performance.now();
  return { view, pace: pace.steps && { ...pace } };
}

/** Keeps what is needed to go on after a reload, or on another device. */
async function save() {
  checkpoint = await run.checkpoint();
  lastKept = performance.now();
  await keep({ settings: opened.settings, table: opened.table, bytes: checkpoint, going });
}

/** What may fail because the device is lost: then the run goes on on the processor, from what was kept last. */
async function onDevice(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'DeviceLost') throw error;
    const choice = { device: 'cpu', why: 'the graphics processor was lost' };
    run = undefined;
    await start({ ...opened, choice, bytes: checkpoint });
    const view = await pictures();
    postMessage({ event: 'moved', message: error.message, ...choice, name: run.device(), ...view });
    return undefined;
  }
}

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
// Lets messages in at once, where a timer waits.
const channel = new MessageChannel();
const breath = () => new Promise((resolve) => {
  channel.port1.onmessage = resolve;
  channel.port2.postMessage(0);
});

async function train(epochs) {
  const before = run.stepCount(), start = performance.now();
  await run.train(epochs);
  const milliseconds = performance.now() - start;
  const share = Math.min(1, milliseconds / 500);
  // A mean that forgets.
  pace = {
    steps: pace.steps * (1 - share) + (run.stepCount() - before),
    milliseconds: pace.milliseconds * (1 - share) + milliseconds,
  };
  return milliseconds;
}

async function loop() {
  const own = generation;
  let epochs = 1, due = performance.now();
  const rate = () => SPEEDS[speed] ?? SPEEDS.normal;
  try {
    while (going && own === generation) {
      const wanted = Number.isFinite(rate()) ? Math.max(1, Math.round(rate() * PICTURE / 1000)) : epochs;
      await inTurn(() => onDevice(async () => {
        const left = until - run.epochCount();
        if (left <= 0) { going = false; return; }
        const milliseconds = await train(Math.min(wanted, left));
        epochs = Math.max(1, Math.min(1000, Math.round(Math.min(2 * epochs, wanted * SLICE / Math.max(0.5, milliseconds)))));
        if (run.epochCount() >= until) going = false;
        const now = performance.now();
        if (seen && now - lastPicture >= PICTURE) {
          seen = false;
          postMessage({ event: 'view', ...await pictures() });
        }
        if (now - lastKept > KEEP) await save();
      }));
      if (Number.isFinite(rate())) {
        due = Math.max(due + 1000 * wanted / rate(), performance.now() - 50);
        await pause(Math.max(0, due - performance.now()));
      } else {
        await breath();
      }
    }
  } catch (error) {
    if (own !== generation) return;
    going = false;
    postMessage({ event: error.name === 'NotFinite' ? 'diverged' : 'fault', message: error.message });
  }
  await inTurn(async () => {
    // Another run may have taken its place.
    if (own !== generation) return;
    // What the page says is paused outlives a reload.
    await onDevice(save);
    postMessage({ event: 'paused', ...await pictures() });
  }).catch((error) => postMessage({ event: 'fault', message: error.message }));
}

let looping;

const calls = {
  open,
  go(message) {
    ({ speed, until } = message);
    if (!going) {
      going = true;
      looping = (looping ?? Promise.resolve()).then(loop);
    }
  },
  speed(message) { ({ speed, until } = message); },
  async pause() {
    going = false;
    await looping;
  },
  async epoch() {
    going = false;
    await looping;
    until = run.epochCount() + 1;
    going = true;
    await (looping = loop());
  },
  seen() { seen = true; },
  look: (message) => inTurn(async () => {
    look = { ...look, ...message.look };
    return run && onDevice(pictures);
  }),
  losses: () => inTurn(() => run.stepLosses()),
  export: ({ format }) => inTurn(() => run.export(format)),
  import: ({ bytes }) => inTurn(async () => {
    run.import(bytes);
    await save();
    return pictures();
  }),
  columns: async ({ text }) => (await build('cpu')).columns(text),
  layersIn: async ({ bytes }) => (await build('cpu')).layersIn(bytes),
};

onmessage = async ({ data: message }) => {
  try {
    const value = await calls[message.call](message);
    postMessage({ id: message.id, value });
  } catch (error) {
    postMessage({ id: message.id, error: { name: error.name, message: error.message ?? String(error) } });
  }
};
