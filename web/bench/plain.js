// Loops over typed arrays: what a page has without any library.
import { layers, random, rows } from './work.js';

export async function prepare(work) {
  const { sizes, batch, squared } = work, net = layers(sizes), next = random(7), last = net.length - 1;
  const values = sizes.map((size) => new Float32Array(batch * size)), deltas = sizes.map((size) => new Float32Array(batch * size));
  const step = () => {
    const [inputs, outputs] = [sizes[0], sizes.at(-1)], chosen = rows(work, next);
    chosen.forEach((row, i) => values[0].set(work.x.subarray(row * inputs, (row + 1) * inputs), i * inputs));
    net.forEach((layer, k) => forward(layer, values[k], values[k + 1], batch, k < last ? 'relu' : squared ? 'sigmoid' : ''));
    const y = values[last + 1], d = deltas[last + 1];
    let loss = 0;
    for (let i = 0; i < batch; i++) {
      const target = chosen[i] * outputs, at = i * outputs;
      if (squared) {
        for (let c = 0; c < outputs; c++) {
          const p = y[at + c], error = p - work.oneHot[target + c];
          loss += error * error / (batch * outputs);
          d[at + c] = 2 * error / (batch * outputs) * p * (1 - p);
        }
      } else {
        let most = -Infinity, sum = 0;
        for (let c = 0; c < outputs; c++) most = Math.max(most, y[at + c]);
        for (let c = 0; c < outputs; c++) sum += Math.exp(y[at + c] - most);
        for (let c = 0; c < outputs; c++) {
          const p = Math.exp(y[at + c] - most) / sum, t = work.oneHot[target + c];
          if (t) loss -= Math.log(p) / batch;
          d[at + c] = (p - t) / batch;
        }
      }
    }
    for (let k = last; k >= 0; k--) backward(net[k], values[k], deltas[k + 1], k ? deltas[k] : undefined, batch);
    return loss;
  };
  return {
    about: 'typed arrays',
    async train(steps) {
      let loss = 0;
      for (let i = 0; i < steps; i++) loss = step();
      return loss;
    },
  };
}

function forward({ inputs, outputs, w, b }, x, y, batch, end) {
  for (let i = 0; i < batch; i++) {
    const at = i * outputs;
    y.set(b, at);
    for (let p = 0; p < inputs; p++) {
      const a = x[i * inputs + p];
      if (a !== 0) for (let c = 0, q = p * outputs; c < outputs; c++) y[at + c] += a * w[q + c];
    }
    if (end === 'relu') for (let c = at; c < at + outputs; c++) y[c] = y[c] > 0 ? y[c] : 0;
    else if (end) for (let c = at; c < at + outputs; c++) y[c] = 1 / (1 + Math.exp(-y[c]));
  }
}

function backward({ inputs, outputs, w, b }, x, dy, dx, batch) {
  if (dx) {
    for (let i = 0; i < batch; i++) {
      for (let p = 0; p < inputs; p++) {
        let sum = 0;
        if (x[i * inputs + p] > 0) for (let c = 0, q = p * outputs; c < outputs; c++) sum += dy[i * outputs + c] * w[q + c];
        dx[i * inputs + p] = sum;
      }
    }
  }
  // All values are read above, so the update can be made at once.
  for (let i = 0; i < batch; i++) {
    for (let p = 0; p < inputs; p++) {
      const a = 0.1 * x[i * inputs + p];
      if (a !== 0) for (let c = 0, q = p * outputs; c < outputs; c++) w[q + c] -= a * dy[i * outputs + c];
    }
    for (let c = 0; c < outputs; c++) b[c] -= 0.1 * dy[i * outputs + c];
  }
}
