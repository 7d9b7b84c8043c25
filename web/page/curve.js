// The losses: of training and of the test, epoch by epoch; of several networks their mean and their band.
import { classColour, colours, css, prepared } from './draw.js';

/** Numbers of an epoch: mean, smallest, largest on the training data, the same on the test data. */
const WIDTH = 6;

export class Curve {
  epochs = 0;
  #values = new Float32Array(WIDTH * 1024);

  /** Takes in the epochs behind the first `from`. */
  take(from, values) {
    const end = WIDTH * from + values.length;
    if (end > this.#values.length) {
      const larger = new Float32Array(2 * end);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(values, WIDTH * from);
    this.epochs = end / WIDTH;
  }

  /** Mean losses of the last epoch: training, test. */
  get last() {
    const at = WIDTH * (this.epochs - 1);
    return this.epochs ? [this.#values[at], this.#values[at + 3]] : undefined;
  }

  draw(canvas, members) {
    const [context, width, height] = prepared(canvas);
    const { faint, line } = colours();
    context.clearRect(0, 0, width, height);
    const left = 42, bottom = height - 18, top = 8, right = width - 6, { epochs } = this;
    Object.assign(context, { font: '11px system-ui, sans-serif', fillStyle: faint, textBaseline: 'middle', lineWidth: 1, strokeStyle: line });
    let most = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const at = WIDTH * epoch;
      // Of a band its means, lest one bad network make all flat.
      most = Math.max(most, Math.min(this.#values[at], 1e6), Math.min(this.#values[at + 3], 1e6));
    }
    const scale = niceTop(most || 1);
    const y = (value) => bottom - Math.min(1.05, value / scale) * (bottom - top);
    const x = (epoch) => left + (epochs < 2 ? 0 : epoch / (epochs - 1)) * (right - left);
    for (const part of [0, 0.5, 1]) {
      context.beginPath();
      context.moveTo(left, y(part * scale));
      context.lineTo(right, y(part * scale));
      context.stroke();
      context.textAlign = 'right';
      context.fillText(String(Number((part * scale).toPrecision(2))), left - 6, y(part * scale));
    }
    context.textAlign = 'left';
    context.fillText('1', left, height - 6);
    context.textAlign = 'right';
    if (epochs > 1) context.fillText(`epoch ${epochs.toLocaleString('en')}`, right, height - 6);
    if (epochs < 2) return;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left + 4, bottom + 1);
    context.clip();
    const stride = Math.max(1, Math.floor(epochs / (2 * (right - left))));
    const along = (visit) => {
      for (let epoch = 0; epoch < epochs - 1; epoch += stride) visit(epoch);
      visit(epochs - 1);
    };
    [[3, classColour(1)], [0, classColour(0)]].forEach(([at, colour]) => {
      if (members > 1) {
        context.beginPath();
        along((epoch) => context.lineTo(x(epoch), y(this.#values[WIDTH * epoch + at + 2])));
        const back = [];
        along((epoch) => back.push(epoch));
        back.reverse().forEach((epoch) => context.lineTo(x(epoch), y(this.#values[WIDTH * epoch + at + 1])));
        context.fillStyle = css(colour, 0.2);
        context.fill();
      }
      context.beginPath();
      along((epoch) => context.lineTo(x(epoch), y(this.#values[WIDTH * epoch + at])));
      Object.assign(context, { strokeStyle: css(colour), lineWidth: 2, lineJoin: 'round' });
      context.stroke();
    });
    context.restore();
  }
}

/** The next of 1, 2, 5, 10... above. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 10].map((factor) => factor * power).find((top) => top >= value) ?? value;
}
