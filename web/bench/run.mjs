// Microseconds a step in Chromium: `node bench/run.mjs disk|digits [expression]`, after `web/check bench`.
// The pages are open at once and take turns, round by round (ROUNDS, MILLISECONDS a round). Peers that are installed
// (`npm install --prefix bench`) are measured, too. Environment: CHROMIUM.
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const here = import.meta.dirname, net = process.argv[2] ?? 'disk', wanted = new RegExp(process.argv[3] ?? '');
const roundCount = Number(process.env.ROUNDS ?? 7), milliseconds = Number(process.env.MILLISECONDS ?? 400);
const roots = { bench: here, dist: path.join(here, '../dist-bench'), modules: path.join(here, 'node_modules') };
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const server = http.createServer((request, response) => {
  const [, root, rest] = new URL(request.url, 'http://localhost').pathname.match(/^\/(\w+)\/(.*)$/) ?? [];
  const file = roots[root] && path.join(roots[root], rest);
  const there = file?.startsWith(roots[root]) && fs.existsSync(file);
  response.writeHead(there ? 200 : 404, { 'content-type': types[path.extname(file ?? '')] ?? 'application/octet-stream' });
  response.end(there ? fs.readFileSync(file) : '');
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'wgrad-bench-'));
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, userDataDir: profile, protocolTimeout: 600_000,
  args: ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-background-timer-throttling',
    '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader',
    '--enable-features=Vulkan', '--use-vulkan=swiftshader'],
});
const all = [
  ['plain JavaScript', { library: 'plain' }],
  ['wgrad, relaxed SIMD', { library: 'wgrad', module: 'cpu', device: 'cpu' }],
  ['wgrad, SIMD', { library: 'wgrad', module: 'cpu-plain', device: 'cpu' }],
  ['TensorFlow.js wasm', { library: 'tfjs', backend: 'wasm' }],
  ['jax-js wasm', { library: 'jax', backend: 'wasm' }],
  ['wgrad, WebGPU on SwiftShader', { library: 'wgrad', module: 'webgpu', device: 'webgpu' }],
  ['TensorFlow.js cpu', { library: 'tfjs', backend: 'cpu' }],
  ['jax-js, WebGPU on SwiftShader', { library: 'jax', backend: 'webgpu' }],
];
const rounds = [];
for (const [name, options] of all.filter(([name]) => wanted.test(name))) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(name, error.message));
  await page.goto(`http://127.0.0.1:${server.address().port}/bench/page.html?${new URLSearchParams({ net, ...options })}`);
  try {
    const about = await page.evaluate(() => window.ready);
    const measure = (steps) => page.evaluate((steps) => window.measure(steps), steps);
    const first = await measure(1);
    let steps = 10;
    // Warmed up, until a round takes its time.
    for (let i = 0; i < 4; i++) steps = Math.max(4, Math.min(50_000, Math.round(milliseconds * 1000 / (await measure(steps)).us)));
    rounds.push({ name, about, page, measure, steps, first, us: [] });
  } catch (error) {
    console.error(`${name}: left out (${String(error.message).split('\n')[0]})`);
    await page.close();
  }
}
for (let i = 0; i < roundCount; i++) {
  for (const round of rounds) {
    await round.page.bringToFront();
    const { us, loss } = await round.measure(round.steps);
    round.us.push(us);
    round.loss = loss;
  }
}
console.log(`${await browser.version()}, ${os.cpus()[0].model}, load ${os.loadavg().map((load) => load.toFixed(1)).join(' ')}, ${net}`);
for (const { name, about, us, first, loss } of rounds) {
  us.sort((a, b) => a - b);
  console.log(`${name.padEnd(30)} ${us[us.length >> 1].toFixed(1).padStart(10)} us a step (${us[0].toFixed(1)} to ${us.at(-1).toFixed(1)}); loss ${first.loss?.toFixed(4)} -> ${loss?.toFixed(4)}; ${about}`);
}
await browser.close();
server.close();
fs.rmSync(profile, { recursive: true, force: true });
