// What is computed: that it learns, and that its numbers are those of the native build.
import { LOOK, assert, bits, ended, epochs, native, open, opened, test, text, train, worker } from './harness.mjs';

/** Settings, and the test accuracy to reach, or the test loss to stay below. */
const sets = [
  ['data=disk', 0.93], ['data=moons', 0.97], ['data=spirals&n=600&layers=16.relu,16.relu&noise=2&epochs=1500', 0.93], ['data=xor&noise=2', 0.93],
  ['data=islands', 0.9], ['data=hills&loss=squared&noise=2&layers=12.tanh,12.tanh', { loss: 0.02 }], ['data=saddle&loss=squared&noise=2', { loss: 0.01 }],
];

/** A step of a run, some 50 of them, some of several networks, and some of a network so wide that products copy a factor. */
const runs = [
  'data=disk&opt=sgd&rate=0.1&momentum=0', 'data=moons&layers=8.relu,8.relu', 'data=islands&loss=squared&layers=5.gelu&opt=rmsprop',
  'data=hills&loss=huber&layers=9.silu&opt=adamw&decay=0.01', 'data=spirals&members=10',
  'data=disk&layers=128.relu,128.relu&batch=64',
];

const lossesOf = async (browser, settings, wanted, count = 4) => {
  const page = await open(browser);
  const losses = await worker(page, [opened(settings, wanted), ...Array.from({ length: count }, () => ({ call: 'epoch' })), { call: 'losses' }]);
  await page.close();
  return losses;
};

/**
 * How far two devices may be apart after some steps, relative to the loss: a sum over a layer of w and one over a batch of b numbers
 * are off by (w + b) roundings of 2^-24 each, in each of five products of a step, and each step hands on what it got. (That a
 * later step amplifies what it gets is why no more than some 50 are compared.)
 */
const bound = (settings, step) => {
  const [, width] = settings.match(/layers=(\d+)/) ?? [0, 16], [, batch] = settings.match(/batch=(\d+)/) ?? [0, 16];
  return 5 * (Math.max(16, width) + Number(batch)) * 2 ** -24 * (step + 1);
};
const near = (settings, found, expected) => {
  assert.equal(found.length, expected.length);
  found.forEach((loss, step) => {
    assert.ok(Math.abs(loss - expected[step]) <= bound(settings, step) * Math.max(1, Math.abs(expected[step])), `step ${step}: ${loss} and ${expected[step]}`);
  });
};

const numbers = (words) => [...new Float32Array(Uint32Array.from(words, (word) => Number.parseInt(word, 16)).buffer)];

export function learning(browser) {
  for (const [settings, wanted] of sets) {
    test(`learns: ${settings}`, async () => {
      const page = await open(browser, `${settings}&speed=full&device=cpu`);
      await train(page);
      assert.equal(await epochs(page), settings.includes('1500') ? 1500 : 600);
      if (wanted.loss) assert.ok(Number(await text(page, '#test-loss')) < wanted.loss, await text(page, '#test-loss'));
      else assert.ok(Number.parseFloat(await text(page, '#test-accuracy')) >= 100 * wanted, await text(page, '#test-accuracy'));
      await page.close();
    });
  }

  for (const settings of runs) {
    test(`the processor's losses are the native build's: ${settings}`, async () => {
      const found = await lossesOf(browser, settings, 'cpu'), expected = native('losses', settings, '4');
      near(settings, found, numbers(expected));
      assert.deepEqual(bits(await lossesOf(browser, settings, 'cpu')), bits(found), 'twice the same run');
      console.log(`      ${JSON.stringify(bits(found)) === JSON.stringify(expected) ? 'equal to the bit' : 'equal but for rounding'}, ${found.length} steps`);
    });
  }

  for (const settings of runs.slice(0, 4)) {
    test(`WebGPU's losses are near the native build's: ${settings}`, async () => {
      const found = await lossesOf(browser, settings, 'webgpu');
      near(settings, found, numbers(native('losses', settings, '4')));
      assert.deepEqual(bits(await lossesOf(browser, settings, 'webgpu')), bits(found), 'twice the same run');
    });
  }

  test('a reload goes on to the bit', async () => {
    const settings = 'data=spirals&layers=8.tanh,8.tanh';
    const page = await open(browser, `${settings}&speed=full&epochs=20000&device=cpu`);
    await page.click('#run');
    await page.waitForFunction(() => Number(document.querySelector('#epochs').textContent.replace(/\D/g, '')) > 200, { polling: 20 });
    await page.click('#run');
    await ended(page);
    const before = await epochs(page);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    assert.equal(await epochs(page), before, 'it has its epochs again');
    await page.click('#epoch');
    await page.waitForFunction((next) => Number(document.querySelector('#epochs').textContent.replace(/\D/g, '')) === next, {}, before + 1);
    const losses = ['#train-loss', '#test-loss'].map((id) => text(page, id));
    const picture = await page.$eval('#plane', (canvas) => canvas.toDataURL());
    // The whole run without a break.
    await page.evaluate(() => indexedDB.deleteDatabase('wgrad-playground'));
    const other = await open(browser, `${settings}&speed=full&epochs=${before + 1}&device=cpu&seed=1`);
    await other.click('#restart');
    await train(other);
    assert.equal(await epochs(other), before + 1);
    assert.deepEqual(await Promise.all(['#train-loss', '#test-loss'].map((id) => text(other, id))), await Promise.all(losses));
    assert.equal(await other.$eval('#plane', (canvas) => canvas.toDataURL()), picture);
    await Promise.all([page.close(), other.close()]);
  });

  test('a run that a reload breaks off in the middle goes on by itself', async () => {
    // More epochs than any machine trains meanwhile.
    const page = await open(browser, 'data=moons&seed=7&speed=full&epochs=1000000000&device=cpu');
    await page.click('#run');
    await page.waitForFunction(async () => (await (await import('/store.js')).kept())?.going, { polling: 100 });
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    const start = await epochs(page);
    assert.ok(start > 0);
    await page.waitForFunction((start) => Number(document.querySelector('#epochs').textContent.replace(/\D/g, '')) > start, {}, start);
    await page.close();
  });

  test('a checkpoint of the worker resumes to the bit', async () => {
    const page = await open(browser);
    for (const wanted of ['cpu', 'webgpu']) {
      const settings = 'data=xor&members=3&layers=7.elu';
      const losses = await page.evaluate(async (open) => {
        const module = await import(open.wanted === 'cpu' ? '/wgrad-cpu.js' : '/wgrad-webgpu.js');
        await module.default({ module_or_path: new URL(`/wgrad-${open.wanted}_bg.wasm`, location) });
        const new_ = () => module.Run.open(open.settings, undefined, [], open.wanted);
        const [one, other] = [await new_(), await new_()];
        await one.train(3);
        await other.resume(await one.checkpoint());
        await one.train(4);
        await other.train(4);
        return [[...one.stepLosses()], [...other.stepLosses()], [...await one.checkpoint()].length, [...await other.checkpoint()].length];
      }, opened(settings, wanted, { look: LOOK }));
      assert.deepEqual(bits(losses[1]), bits(losses[0]), wanted);
      assert.equal(losses[2], losses[3]);
    }
    await page.close();
  });
}
