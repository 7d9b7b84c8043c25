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

const small = document.createElement('canvas');

/** An image of `columns` colours a row, from a function of the place's number. */
function image(columns, rows, colour) {
  Object.assign(small, { width: columns, height: rows });
  const context = small.getContext('2d');
  const pixels = context.createImageData(columns, rows);
  for (let at = 0; at < columns * rows; at++) {
    const [r, g, b] = colour(at);
    pixels.data.set([r, g, b, 255], 4 * at);
  }
  context.putImageData(pixels, 0, 0);
  return small;
}

/** A neuron's picture: values over the plane, the largest in full colour. */
export function neuron(canvas, values, size, from = 0) {
  const rows = Math.max(1, Math.min(size, (values.length - from) / size));
  let most = 1e-6;
  for (let at = 0; at < rows * size; at++) most = Math.max(most, Math.abs(values[from + at]));
  if (canvas.width !== size) Object.assign(canvas, { width: size, height: rows });
  canvas.getContext('2d').drawImage(image(size, rows, (at) => signed(values[from + at] / most)), 0, 0);
}

/** The colour of the answer at a place. */
function answer(surface, kind) {
  const { channels, values } = surface;
  if (channels === 1) return kind === 'numbers' ? (at) => signed(values[at], 0.9) : (at) => signed(2 * values[at] - 1, 0.8);
  const { paper } = colours();
  return (at) => {
    const colour = [0, 0, 0];
    for (let c = 0; c < channels; c++) {
      const tint = mix(paper, classColour(c), 0.7);
      for (let i = 0; i < 3; i++) colour[i] += values[at * channels + c] * tint[i];
    }
    return colour;
  };
}

/** The answer over the plane, or over a line, and the points. */
export function plane(canvas, { surface, size, about, axes, pinned, points = true }) {
  const [context, width, height] = prepared(canvas);
  const { paper, ink } = colours();
  context.fillStyle = css(paper);
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
    context.drawImage(image(pinned.size, rows, (at) => signed(pinned.values[at] / most)), 0, 0, width, height);
  } else if (!line) {
    context.drawImage(image(size, size, answer(surface, kind)), 0, 0, width, height);
  } else if (kind === 'classes') {
    context.drawImage(image(size, 1, answer(surface, kind)), 0, 0, width, height);
  }
  const columns = about.names.length, bounds = about.bounds;
  const across = (value, column) => (value - bounds[2 * column]) / (bounds[2 * column + 1] - bounds[2 * column]);
  const [low, high] = bounds.slice(-2);
  const up = (value) => 0.95 - 0.9 * (value - low) / (high - low);
  if (surface && line && kind === 'numbers' && !pinned) {
    context.beginPath();
    for (let at = 0; at < size; at++) context.lineTo((at + 0.5) / size * width, up(low + (surface.values[at] + 1) / 2 * (high - low)) * height);
    Object.assign(context, { strokeStyle: css(classColour(1)), lineWidth: 3, lineJoin: 'round' });
    context.stroke();
  }
  if (!points) return;
  about.samples.forEach(({ inputs, targets }, part) => {
    const radius = targets.length > 800 ? 2.2 : targets.length > 300 ? 3 : 4;
    for (let at = 0; at < targets.length; at++) {
      const target = targets[at];
      const colour = kind === 'classes' ? classColour(target) : signed(2 * (target - low) / (high - low) - 1);
      const x = across(inputs[at * columns + (line ? 0 : axes[0])], line ? 0 : axes[0]) * width;
      const y = line
        ? (kind === 'numbers' ? up(target) : 0.5 + 0.3 * Math.sin(37.7 * at)) * height
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
    }
  });
}
