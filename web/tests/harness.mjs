// A static server of dist/, headless Chromium, and a run of the page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const dist = path.resolve(import.meta.dirname, '../dist');
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm', '.css': 'text/css', '.svg': 'image/svg+xml' };
export const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wgrad-web-'));

/** In the worker: keeps the device that is opened where a test can reach it. */
const HOOK = `if (self.GPUAdapter) {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...options) { return self.device = await request.apply(this, options); };
}\n`;

export const server = http.createServer((request, response) => {
  const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname).replace(/\/$/, '/index.html');
  const file = path.join(dist, name);
  if (!file.startsWith(dist) || !fs.existsSync(file)) {
    response.writeHead(404);
    response.end();
    return;
  }
  response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
  response.end(name === '/worker.js' ? HOOK + fs.readFileSync(file) : fs.readFileSync(file));
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
export const origin = `http://127.0.0.1:${server.address().port}`;

/** By SwiftShader, whose work on a busy machine is no reason to end its process. */
const GPU = ['--disable-gpu-watchdog', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan', '--use-vulkan=swiftshader'];
const QUIET = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** A browser with WebGPU on SwiftShader, or without WebGPU. */
export const launch = (gpu) => puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, protocolTimeout: 300_000, userDataDir: fs.mkdtempSync(path.join(folder, 'profile-')),
  args: ['--no-sandbox', ...QUIET, ...(gpu ? GPU : ['--disable-gpu', '--disable-features=WebGPU'])],
});

/** What went wrong in the pages since it was last asked. */
export const wrong = [];

/** A page of the playground with these settings. */
export async function open(browser, hash = '', { width = 1360, height = 900, dark = false } = {}) {
  const page = await browser.newPage();
  // On a busy machine all takes long; what never comes is a fault.
  page.setDefaultTimeout(240_000);
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]);
  page.on('console', (message) => { if (['error', 'warn'].includes(message.type())) wrong.push(`console: ${message.text()}`); });
  page.on('pageerror', (error) => wrong.push(`page: ${error.message}`));
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !/^(blob|data):/.test(request.url())) wrong.push(`request: ${request.url()}`); });
  await page.goto(`${origin}/#${hash}`);
  await page.waitForSelector('body[data-ready]');
  return page;
}

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
export const epochs = async (page) => Number((await text(page, '#epochs')).replace(/\D/g, ''));

/** Runs to the end of what is to be trained. */
export async function train(page) {
  await page.click('#run');
  await ended(page);
}

export async function ended(page) {
  await page.waitForFunction(() => document.querySelector('#run').textContent.includes('Run'), { polling: 50 });
}

/** A worker of its own in a page, without the page around it: gives what the last call gives. */
export const worker = (page, calls) => page.evaluate(async (calls) => {
  const worker = new Worker('/worker.js', { type: 'module' });
  const call = (message) => new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.addEventListener('message', ({ data }) => {
      if (data.id === message.id) data.error ? reject(new Error(data.error.message)) : resolve(data.value);
    });
    worker.postMessage(message);
  });
  let value;
  for (const [id, message] of calls.entries()) value = await call({ id: id + 1, ...message });
  worker.terminate();
  // Typed arrays do not cross over to the test.
  const plain = (value) => (ArrayBuffer.isView(value) ? [...value] : Array.isArray(value) ? value.map(plain)
    : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, value]) => [key, plain(value)])) : value);
  return plain(value);
}, calls);

export const LOOK = { size: 16, neurons: 8, x: 0, y: 1 };
export const opened = (settings, wanted = 'cpu', more = {}) => ({ call: 'open', settings, wanted, look: LOOK, ...more });

/** The bits of numbers. */
export const bits = (values) => [...new Uint32Array(Float32Array.from(values).buffer)].map((word) => word.toString(16).padStart(8, '0'));

export const native = (...parts) => execFileSync(process.env.NATIVE, parts, { encoding: 'utf8' }).trim().split('\n');

const tests = [];
export const test = (name, run) => tests.push([name, run]);

/** Runs all tests that the expression on the command line fits; the last line says how many passed. */
export async function runAll() {
  const wanted = new RegExp(process.argv[2] ?? '', 'i');
  let passed = 0, failed = 0;
  for (const [name, run] of tests.filter(([name]) => wanted.test(name))) {
    const start = performance.now();
    try {
      wrong.length = 0;
      await run();
      assert.deepEqual(wrong, []);
      passed += 1;
      console.log(`ok    ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack ?? error}`);
      if (wrong.length) console.log(`      in the page: ${wrong.join('\n      ')}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

export { assert };
