// wgrad, by one of the modules of dist/.
export async function prepare(work, { module, device }) {
  const wasm = await import(`/dist/wgrad-${module}.js`);
  await wasm.default({ module_or_path: `/dist/wgrad-${module}_bg.wasm` });
  const bench = await wasm.Bench.open(work.net, device, work.x, work.squared ? work.oneHot : work.classes);
  const each = Math.floor(work.classes.length / work.batch);
  return {
    about: bench.device(),
    // Whole epochs: how many steps were made is told by the number of losses.
    async train(steps) {
      const losses = await bench.train(Math.max(1, Math.round(steps / each)));
      return [losses.at(-1), losses.length];
    },
  };
}
