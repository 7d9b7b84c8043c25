// The two kinds of work, the same for every library: 1,000 rows, and parameters to begin with.

/** Numbers from 0 to 1, the same everywhere. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

const ROWS = 1000;

export function work(net) {
  const next = random(1);
  if (net === 'disk') {
    const x = Float32Array.from({ length: 2 * ROWS }, next), classes = new Float32Array(ROWS);
    for (let row = 0; row < ROWS; row++) classes[row] = (x[2 * row] - 0.5) ** 2 + (x[2 * row + 1] - 0.5) ** 2 < 0.5 / Math.PI ? 1 : 0;
    return { net, x, classes, oneHot: oneHot(classes, 2), sizes: [2, 25, 25, 25, 2], batch: 32, squared: true };
  }
  // Classes by a random linear map.
  const map = Float32Array.from({ length: 7840 }, () => next() - 0.5);
  const x = Float32Array.from({ length: 784 * ROWS }, next), classes = new Float32Array(ROWS);
  for (let row = 0; row < ROWS; row++) {
    let most = -Infinity;
    for (let c = 0; c < 10; c++) {
      let sum = 0;
      for (let p = 0; p < 784; p++) sum += (x[784 * row + p] - 0.5) * map[10 * p + c];
      if (sum > most) [most, classes[row]] = [sum, c];
    }
  }
  return { net, x, classes, oneHot: oneHot(classes, 10), sizes: [784, 128, 10], batch: 64, squared: false };
}

function oneHot(classes, count) {
  const values = new Float32Array(classes.length * count);
  classes.forEach((c, row) => { values[row * count + c] = 1; });
  return values;
}

/** Layers with weights [inputs, outputs], uniform within 1/sqrt(inputs). */
export function layers(sizes) {
  const next = random(5);
  return sizes.slice(1).map((outputs, i) => {
    const inputs = sizes[i], draw = () => (2 * next() - 1) / Math.sqrt(inputs);
    return { inputs, outputs, w: Float32Array.from({ length: inputs * outputs }, draw), b: Float32Array.from({ length: outputs }, draw) };
  });
}

/** The rows of a mini-batch. */
export const rows = (work, next) => Int32Array.from({ length: work.batch }, () => Math.floor(next() * ROWS));
