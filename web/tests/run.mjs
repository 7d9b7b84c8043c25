// All tests: `node tests/run.mjs [expression]`, with NATIVE (the binary of the same name) and CHROMIUM by environment.
import fs from 'node:fs';
import { folder, launch, runAll, server } from './harness.mjs';
import { learning } from './learning.mjs';
import { page } from './page.mjs';
import { devices } from './devices.mjs';

const browser = await launch(true), without = await launch(false);
learning(browser);
page(browser);
devices(browser, without);
const good = await runAll();
await Promise.all([browser.close(), without.close()]);
server.close();
fs.rmSync(folder, { recursive: true, force: true });
process.exitCode = good ? 0 : 1;
