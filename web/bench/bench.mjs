// The page's benchmarks, in one Chromium: our base U-Net and one block of it against the same in onnxruntime-web, the block
// against stock Burn too, and what only we have.
//
// `cargo xtask bench web` calls it with two folders. The first is for scratch: the package with its model in `package`, the
// page in `page`, the numbers of the block in `block.json`, and of export.py, where there was one, `unet.onnx`, `inputs.json`
// and `block.onnx`. The second has the program of `shaders/examples/browser.rs`. Prints a row per line as JSON:
// { what, ours, other, ratio }, times in milliseconds, medians of all steps of all rounds.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { launch } from '../tests/browser.mjs';
import { serve } from '../tests/server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const [scratch, ops] = process.argv.slice(2);
const ROUNDS = 3;
/** Steps of a round, by device: SwiftShader takes long. */
const STEPS = { webgpu: 6, cpu: 40 };
/** The same of the block. */
const BLOCKS = { webgpu: 20, cpu: 200 };
/** How far the maps of two sides may be apart. */
const APART = 1e-3;
const PICTURES = 100;

const isolated = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const mounts = {
  '/bench/': here,
  '/ort/': join(here, 'node_modules/onnxruntime-web/dist'),
  '/unet.onnx': join(scratch, 'unet.onnx'),
  '/inputs.json': join(scratch, 'inputs.json'),
  '/ops/': ops,
  '/block.json': join(scratch, 'block.json'),
  '/block.onnx': join(scratch, 'block.onnx'),
};
const server = await serve(join(scratch, 'package'), { mounts, headers: isolated });
const browser = await launch();

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const tell = (row) => console.log(JSON.stringify(row));

async function opened(setup, ...args) {
  const page = await (await browser.newContext()).newPage();
  page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
  // What a program that ended has promised never comes.
  page.on('pageerror', (error) => {
    console.error(`${setup}: ${error}`);
    process.exit(1);
  });
  await page.goto(`${server.url}bench/bench.html`);
  await page.waitForFunction(() => window.here);
  await page.evaluate(([setup, args]) => window[setup](...args), [setup, args]);
  // Compiles kernels and fills pools.
  await page.evaluate(() => window.run(2));
  return page;
}

/** Medians of a step of both, whose rounds take turns. */
async function compare(what, steps, [ours, theirs]) {
  const times = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [side, page] of [ours, theirs].entries()) {
      times[side].push(...(await page.evaluate((steps) => window.run(steps), steps)));
    }
  }
  const [our, other] = times.map(median);
  tell({ what, ours: our, other, ratio: other / our });
}

/** Nothing is told of two sides that do not compute the same map. */
async function agree(what, pages) {
  const [ours, theirs] = await Promise.all(pages.map((page) => page.evaluate(async () => [...(await window.map())])));
  const apart = ours.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i])), 0);
  if (!(ours.length === theirs.length && apart < APART)) throw new Error(`${what}: the maps are ${apart} apart`);
}

/** A block on a device, against what else there is for it there. */
async function block(device, provider, where) {
  const [, channels, height, width] = JSON.parse(readFileSync(join(scratch, 'block.json'))).x.shape;
  const what = `a block of norm, SiLU and convolution, ${channels} channels at ${height}x${width}, ${where}`;
  const others = [['stock Burn', 'ourBlock', device, false]];
  if (existsSync(join(scratch, 'block.onnx'))) others.push(['onnxruntime-web', 'theirBlock', provider]);
  const ours = await opened('ourBlock', device, true);
  for (const [name, ...setup] of others) {
    const other = await opened(...setup);
    await agree(`${what}, against ${name}`, [ours, other]);
    await compare(`${what}, against ${name}`, BLOCKS[device], [ours, other]);
    await other.context().close();
  }
  await ours.context().close();
}

await block('webgpu', 'webgpu', 'on WebGPU (SwiftShader)');
await block('cpu', 'wasm', 'on the CPU (wasm, one thread)');

const cpu = await opened('ours', 'cpu');
if (existsSync(join(scratch, 'unet.onnx'))) {
  const threads = await cpu.evaluate(() => navigator.hardwareConcurrency);
  for (const count of new Set([1, threads])) {
    const wasm = await opened('theirs', 'wasm', count);
    await compare(`step on the CPU, against onnxruntime-web (wasm, threads: ${count})`, STEPS.cpu, [cpu, wasm]);
    await wasm.context().close();
  }
  const gpu = await Promise.all([opened('ours', 'webgpu'), opened('theirs', 'webgpu', 1)]);
  await compare('step on WebGPU (SwiftShader), against onnxruntime-web', STEPS.webgpu, gpu);
  await Promise.all(gpu.map((page) => page.context().close()));
}

const firefall = process.env.FIREFALL;
const native = async (steps) => {
  const start = performance.now();
  const args = ['sample', '--model', join(scratch, 'run/model'), '--device', 'cpu', '--stage', '1', '--steps', String(steps)];
  const env = { ...process.env, RAYON_NUM_THREADS: '1' };
  await promisify(execFile)(firefall, [...args, '--cond-scale', '1', '--sampler', 'ddim', '--out', join(scratch, 'native.png'), '--force', 'a red star'], { env });
  return performance.now() - start;
};
const times = [];
const own = [];
for (let round = 0; round < ROUNDS; round++) {
  times.push(...(await cpu.evaluate((steps) => window.run(steps), STEPS.cpu)));
  own.push(((await native(220)) - (await native(20))) / 200);
}
const [ours, other] = [median(times), median(own)];
tell({ what: 'step on the CPU, against our own native program on one thread', ours, other, ratio: other / ours });

const [before, after] = await cpu.evaluate((count) => window.memory(count), PICTURES);
tell({ what: `bytes after ${PICTURES} pictures, against before`, ours: after, other: before, ratio: after / before });

const page = await (await browser.newContext({ serviceWorkers: 'block' })).newPage();
const plain = await serve(join(scratch, 'page'));
const usable = [];
for (let round = 0; round < 5; round++) {
  await page.goto(`${plain.url}?device=cpu`);
  usable.push(
    await page.evaluate(() => {
      const { domContentLoadedEventEnd, responseEnd } = performance.getEntriesByType('navigation')[0];
      return domContentLoadedEventEnd - responseEnd;
    }),
  );
}
tell({ what: 'page usable after its HTML', ours: median(usable), other: 1000, ratio: 1000 / median(usable) });

await browser.close();
await Promise.all([server.close(), plain.close()]);
