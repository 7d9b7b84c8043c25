// jax-js: one jitted function with gather, gradient and update; on wasm without threads, which is its faster way here.
import { layers, random, rows } from './work.js';

export async function prepare(work, { backend }) {
  const jax = await import('/modules/@jax-js/jax/dist/index.js');
  if (!(await jax.init(backend)).includes(backend)) throw new Error(`no backend ${backend}`);
  jax.defaultDevice(backend);
  const { numpy: np, nn, tree } = jax, f32 = { dtype: np.float32 };
  const x = np.array(work.x, f32).reshape([work.classes.length, work.sizes[0]]), t = np.array(work.oneHot, f32).reshape([work.classes.length, work.sizes.at(-1)]);
  let net = layers(work.sizes).map(({ inputs, outputs, w, b }) => ({ w: np.array(w, f32).reshape([inputs, outputs]), b: np.array(b, f32) }));
  const loss = (net, bx, bt) => {
    let h = bx;
    net.forEach(({ w, b }, k) => {
      h = np.matmul(h, w).add(b);
      if (k + 1 < net.length) h = nn.relu(h);
    });
    return work.squared ? np.square(nn.sigmoid(h).sub(bt)).mean() : nn.logSoftmax(h, -1).mul(bt).sum().mul(-1 / work.batch);
  };
  const step = jax.jit((net, x, t, rows) => {
    const [value, gradients] = jax.valueAndGrad(loss)(tree.ref(net), x.slice(rows.ref, []), t.slice(rows, []));
    return [tree.map((p, g) => p.sub(g.mul(0.1)), net, gradients), value];
  });
  const next = random(7);
  return {
    about: jax.defaultDevice(),
    async train(steps) {
      let value;
      for (let i = 0; i < steps; i++) {
        value?.dispose();
        [net, value] = step(net, x.ref, t.ref, np.array(rows(work, next), { dtype: np.int32 }));
      }
      await jax.blockUntilReady(tree.ref(net));
      return (await value.data())[0];
    },
  };
}
