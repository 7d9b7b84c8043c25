// Pictures: the answer over the plane, and the points.

let palette;

/** The colours of the page, of the scheme that is on. */
export function colours() {
  if (!palette) {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    const rgb = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
    palette = {
      classes: ['--class-0', '--class-1', '--class-2', '--class-3', '--class-4'].map((name) => rgb(of(name))),
      paper: rgb(of('--paper')), ink: of('--ink'), faint: of('--faint'), line: of('--line'), card: of('--card'),
    };
  }
  return palette;
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { palette = undefined; });

const mix = (a, b, t) => [0, 1, 2].map((i) => a[i] + (b[i] - a[i]) * t);

/** From -1 (the first colour) by the paper's to 1 (the second). */
export function signed(t, strength = 1) {
  const { classes, paper } = colours();
  const side = Math.max(-1, Math.min(1, t));
  return mix(paper, classes[side < 0 ? 0 : 1], Math.abs(side) * strength);
}

export const classColour = (c) => colours().classes[c % colours().classes.length];
export const css = ([r, g, b], alpha = 1) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)} / ${alpha})`;

/** Fits the canvas to the pixels of the screen; its context, whose units are those of the page. */
export function prepared(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = Math.min(3, window.devicePixelRatio || 1);
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return [context, width, height];
}

/** A colour as a pixel's word. (All machines with browsers store the last byte of a number first.) */
const pixel = (r, g, b) => (255 << 24 | b + 0.5 << 16 | g + 0.5 << 8 | r + 0.5) >>> 0;

const STEPS = 255;
let ramps = new Map();

/** The pixels of `signed` from -1 to 1: made once, as pictures have thousands of pixels. */
function ramp(strength) {
  if (ramps.of !== colours()) ramps = Object.assign(new Map(), { of: colours() });
  if (!ramps.has(strength)) {
    ramps.set(strength, Uint32Array.from({ length: 2 * STEPS + 1 }, (_, at) => pixel(...signed(at / STEPS - 1, strength))));
  }
  const pixels = ramps.get(strength);
  return (t) => pixels[Math.round(STEPS * (1 + Math.max(-1, Math.min(1, t))))];
}

const small = document.createElement('canvas');

/** An image of `columns` pixels a row, from a function of the place's number. */
function image(columns, rows, at) {
  Object.assign(small, { width: columns, height: rows });
  const context = small.getContext('2d');
  const pixels = context.createImageData(columns, rows), words = new Uint32Array(pixels.data.buffer);
  for (let place = 0; place < words.length; place++) words[place] = at(place);
  context.putImageData(pixels, 0, 0);
  return small;
}

/** A neuron's picture: values over the plane, the largest in full colour. */
export function neuron(canvas, values, size, from = 0) {
  const rows = Math.max(1, Math.min(size, (values.length - from) / size));
  let most = 1e-6;
  for (let at = 0; at < rows * size; at++) most = Math.max(most, Math.abs(values[from + at]));
  if (canvas.width !== size) Object.assign(canvas, { width: size, height: rows });
  const full = ramp(1);
  canvas.getContext('2d').drawImage(image(size, rows, (at) => full(values[from + at] / most)), 0, 0);
}

/** The pixel of the answer at a place. */
function answer({ channels, values }, kind) {
  if (channels === 1) {
    const shades = ramp(kind === 'numbers' ? 0.9 : 0.8);
    return kind === 'numbers' ? (at) => shades(values[at]) : (at) => shades(2 * values[at] - 1);
  }
  const tints = Array.from({ length: channels }, (_, c) => mix(colours().paper, classColour(c), 0.7));
  return (at) => {
    let r = 0, g = 0, b = 0;
    for (let c = 0; c < channels; c++) {
      const share = values[at * channels + c], tint = tints[c];
      r += share * tint[0];
      g += share * tint[1];
      b += share * tint[2];
    }
    return pixel(r, g, b);
  };
}

/** The answer over the plane, or over a line, and the points. */
export function plane(canvas, { surface, size, about, axes, pinned }) {
  const [context, width, height] = prepared(canvas);
  context.fillStyle = css(colours().paper);
  context.fillRect(0, 0, width, height);
  if (!about) return;
  const kind = about.classes.length ? 'classes' : 'numbers';
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  const line = about.names.length === 1;
  if (!surface) {
    // Points alone.
  } else if (pinned) {
    let most = 1e-6;
    for (const value of pinned.values) most = Math.max(most, Math.abs(value));
    const rows = line ? 1 : pinned.size;
    const full = ramp(1);
    context.drawImage(image(pinned.size, rows, (at) => full(pinned.values[at] / most)), 0, 0, width, height);
  } else if (!line) {
    context.drawImage(image(size, size, answer(surface, kind)), 0, 0, width, height);
  } else if (kind === 'classes') {
    context.drawImage(image(size, 1, answer(surface, kind)), 0, 0, width, height);
  }
  if (surface && line && kind === 'numbers' && !pinned) {
    context.beginPath();
    for (let at = 0; at < size; at++) context.lineTo((at + 0.5) / size * width, (0.95 - 0.45 * (surface.values[at] + 1)) * height);
    Object.assign(context, { strokeStyle: css(classColour(1)), lineWidth: 3, lineJoin: 'round' });
    context.stroke();
  }
  context.drawImage(points(about, axes, kind, [canvas.width, canvas.height], width), 0, 0, width, height);
}

const layer = document.createElement('canvas');
let drawn = [];

/** The points, drawn anew only when something about them is new: there may be thousands, and pictures 30 times a second. */
function points(about, axes, kind, [pixels, rows], width) {
  const { paper, ink } = colours();
  const now = [about, ...axes, pixels, rows, paper];
  if (now.every((part, i) => part === drawn[i])) return layer;
  drawn = now;
  Object.assign(layer, { width: pixels, height: rows });
  const context = layer.getContext('2d'), scale = pixels / width, height = rows / scale;
  context.scale(scale, scale);
  const columns = about.names.length, { bounds } = about, line = columns === 1;
  const [low, high] = bounds.slice(-2);
  const across = (value, column) => (value - bounds[2 * column]) / (bounds[2 * column + 1] - bounds[2 * column]);
  const share = (target) => (target - low) / (high - low);
  about.samples.forEach(({ inputs, targets }, part) => {
    const radius = targets.length > 800 ? 2.2 : targets.length > 300 ? 3 : 4;
    targets.forEach((target, at) => {
      const colour = kind === 'classes' ? classColour(target) : signed(2 * share(target) - 1);
      const x = across(inputs[at * columns + (line ? 0 : axes[0])], line ? 0 : axes[0]) * width;
      const y = line
        ? (kind === 'numbers' ? 0.95 - 0.9 * share(target) : 0.5 + 0.3 * Math.sin(37.7 * at)) * height
        : (1 - across(inputs[at * columns + axes[1]], axes[1])) * height;
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      if (part === 0) {
        context.fillStyle = css(colour);
        context.fill();
        Object.assign(context, { strokeStyle: css(paper, 0.9), lineWidth: 1 });
      } else {
        context.fillStyle = kind === 'numbers' ? css(colour) : css(paper, 0.85);
        context.fill();
        Object.assign(context, kind === 'numbers' ? { strokeStyle: ink, lineWidth: 1 } : { strokeStyle: css(colour), lineWidth: 1.8 });
      }
      context.stroke();
    });
  });
  return layer;
}
