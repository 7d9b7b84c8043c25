// TensorFlow.js: `minimize` step by step, one read at the end. Weights and rows as for all.
import { layers, random, rows } from './work.js';

const script = (src) => new Promise((resolve, reject) => {
  document.head.append(Object.assign(document.createElement('script'), { src, onload: resolve, onerror: reject }));
});

export async function prepare(work, { backend }) {
  await script('/modules/@tensorflow/tfjs/dist/tf.min.js');
  if (backend === 'wasm') {
    await script('/modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js');
    tf.wasm.setWasmPaths('/modules/@tensorflow/tfjs-backend-wasm/dist/');
  }
  if (!await tf.setBackend(backend)) throw new Error(`no backend ${backend}`);
  await tf.ready();
  const x = tf.tensor2d(work.x, [work.classes.length, work.sizes[0]]), t = tf.tensor2d(work.oneHot, [work.classes.length, work.sizes.at(-1)]);
  const net = layers(work.sizes).map(({ inputs, outputs, w, b }) => [tf.variable(tf.tensor2d(w, [inputs, outputs])), tf.variable(tf.tensor1d(b))]);
  const sgd = tf.train.sgd(0.1), next = random(7);
  const output = (batch) => net.reduce((h, [w, bias], k) => {
    const z = tf.fused.matMul({ a: h, b: w, bias, activation: k + 1 < net.length ? 'relu' : 'linear' });
    return k + 1 === net.length && work.squared ? tf.sigmoid(z) : z;
  }, batch);
  const loss = work.squared ? tf.losses.meanSquaredError : tf.losses.softmaxCrossEntropy;
  return {
    about: `${tf.version.tfjs}, ${tf.getBackend()}`,
    async train(steps) {
      let last;
      for (let i = 0; i < steps; i++) {
        last?.dispose();
        last = tf.tidy(() => {
          const chosen = tf.tensor1d(rows(work, next), 'int32'), [bx, bt] = [tf.gather(x, chosen), tf.gather(t, chosen)];
          return sgd.minimize(() => loss(bt, output(bx)), true, net.flat());
        });
      }
      const [value] = await last.data();
      last.dispose();
      return value;
    },
  };
}
