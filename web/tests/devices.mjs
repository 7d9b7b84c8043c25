// Which device it runs on, and what happens when that is refused or lost.
import { assert, ended, epochs, open, test, text, train, wrong } from './harness.mjs';

export function devices(browser, without) {
  test('there is an adapter: the tests of WebGPU are tests', async () => {
    const page = await open(browser, 'device=webgpu');
    assert.match(await text(page, '#device'), /Runs on the graphics processor by WebGPU/);
    assert.ok(await page.evaluate(async () => await navigator.gpu.requestAdapter() !== null));
    await page.close();
  });

  test('WebGPU trains, and its page is as that of the processor', async () => {
    const page = await open(browser, 'data=moons&epochs=100&speed=full&device=webgpu');
    await train(page);
    assert.equal(await epochs(page), 100);
    assert.ok(Number.parseFloat(await text(page, '#test-accuracy')) >= 85, await text(page, '#test-accuracy'));
    await page.close();
  });

  test('ten networks at once on WebGPU', async () => {
    const page = await open(browser, 'data=moons&epochs=10&members=10&speed=full&device=webgpu');
    await train(page);
    assert.equal(await epochs(page), 10);
    await page.close();
  });

  test('a software adapter is not taken by itself', async () => {
    const page = await open(browser, '');
    assert.match(await text(page, '#device'), /Runs on the processor, in a worker: WebGPU would run on the processor, too/);
    await page.close();
  });

  test('without WebGPU it trains on the processor, and says so', async () => {
    for (const [wanted, why] of [['auto', /^.*: this browser offers no WebGPU/], ['webgpu', /WebGPU was asked for, but this browser offers no WebGPU/]]) {
      const page = await open(without, `seed=${wanted.length}&epochs=100&speed=full&device=${wanted}`);
      assert.match(await text(page, '#device'), why);
      await train(page);
      assert.equal(await epochs(page), 100);
      await page.close();
    }
  });

  test('a device that is lost in the middle of a run: it goes on on the processor', async () => {
    // More epochs than this adapter trains before it is lost.
    const page = await open(browser, 'data=xor&epochs=3000&speed=full&device=webgpu&seed=3');
    await page.click('#run');
    await page.waitForFunction(() => Number(document.querySelector('#epochs').textContent.replace(/\D/g, '')) > 3);
    const [worker] = page.workers();
    await worker.evaluate(() => self.device.destroy());
    await page.waitForFunction(() => /The graphics processor was lost/.test(document.querySelector('#message').textContent));
    await ended(page);
    assert.equal(await epochs(page), 3000);
    assert.match(await text(page, '#device'), /Runs on the processor/);
    // A browser may say so in the console, too.
    wrong.splice(0, wrong.length, ...wrong.filter((line) => !/lost|destroyed/i.test(line)));
    await page.close();
  });
}
