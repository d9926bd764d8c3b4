// The package's client against a scripted worker: what ends, what is repeated, what is replaced. No browser.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { FirefallClient } from '../npm/index.js';

/** What each worker that is started does; the last one goes on for all later ones. */
let scripts;
let started;

class FakeWorker {
  constructor() {
    this.script = scripts[Math.min(started, scripts.length - 1)];
    this.cancelled = new Set();
    this.alive = true;
    started += 1;
  }
  postMessage(data) {
    if (data.type === 'cancel') return void this.cancelled.add(data.id);
    const say = (message) => this.alive && this.onmessage({ data: message });
    queueMicrotask(() => this.script({ ...data, say, worker: this }));
    return undefined;
  }
  terminate() {
    this.alive = false;
  }
}
globalThis.Worker = FakeWorker;

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
const model = { name: 'm', hash: '0', licence: '', stages: [], samplers: [] };

/** A worker that loads on `kind`, or on what it is asked for, and makes a picture in three steps. */
const good = (kind) => async ({ id, type, device, why, say, worker, request }) => {
  if (type === 'load') {
    const kindOf = device === 'auto' ? kind : device;
    return say({ id, value: { ok: true, model, device: { kind: kindOf, name: kindOf, why }, stored: true } });
  }
  for (let step = 1; step <= 3; step++) {
    await tick();
    if (worker.cancelled.has(id)) return say({ id, value: { ok: false, reason: 'cancelled', message: 'Stopped.' } });
    say({ id, event: { phase: 'denoising', stage: 1, step, steps: 3, images: [] } });
  }
  return say({ id, value: { ok: true, images: request.pictures.map(({ seed }) => seed), settings: {} } });
};
/** The same, but its device dies in the first step of every run. */
const dying = (kind) => (data) => (data.type === 'generate' ? data.say({ fatal: 'Gone.' }) : good(kind)(data));

beforeEach(() => {
  started = 0;
  scripts = [good('cpu')];
});

const client = (options) => new FirefallClient({ assets: 'http://x/', ...options });

test('a picture comes with its device', async () => {
  const events = [];
  const result = await client().generate({ prompt: 'a', seed: 7 }, ({ phase }) => events.push(phase)).promise;
  assert.equal(result.ok, true);
  assert.deepEqual([result.images, result.device.kind], [[7], 'cpu']);
  assert.equal(events.filter((phase) => phase === 'denoising').length, 3);
});

test('the latest prompt wins, and the one before says why it ended', async () => {
  const one = client();
  const runs = [1, 2, 3].map((seed) => one.generate({ prompt: 'a', seed }));
  const results = await Promise.all(runs.map(({ promise }) => promise));
  assert.deepEqual(results.map(({ reason }) => reason), ['superseded', 'superseded', undefined]);
  assert.deepEqual(results[2].images, [3]);
  assert.equal(started, 1);
});

test('busy is refused if that is asked for', async () => {
  const one = client();
  const first = one.generate({ prompt: 'a' });
  const second = one.generate({ prompt: 'b' }, () => {}, { busyPolicy: 'reject' });
  assert.equal((await second.promise).reason, 'busy');
  assert.equal((await first.promise).ok, true);
});

test('a run stops at once, and before it began', async () => {
  const one = client();
  const run = one.generate({ prompt: 'a' }, ({ phase }) => phase === 'denoising' && run.abort());
  assert.equal((await run.promise).reason, 'cancelled');
  const next = one.generate({ prompt: 'a' });
  next.abort();
  assert.equal((await next.promise).reason, 'cancelled');
  assert.equal((await one.generate({ prompt: 'a' }).promise).ok, true);
});

test('a worker that dies is replaced once', async () => {
  scripts = [dying('webgpu'), good('webgpu')];
  const events = [];
  const result = await client().generate({ prompt: 'a' }, ({ phase }) => events.push(phase)).promise;
  assert.deepEqual([result.ok, result.device.kind, started], [true, 'webgpu', 2]);
  assert.equal(events.filter((phase) => phase === 'recovering').length, 1);
});

test('a GPU that dies twice is left for the CPU', async () => {
  scripts = [dying('webgpu'), dying('webgpu'), good('webgpu')];
  const one = client();
  const result = await one.generate({ prompt: 'a' }).promise;
  assert.deepEqual([result.ok, result.device.kind, started], [true, 'cpu', 3]);
  assert.match(result.device.why, /failed/);
  assert.equal((await one.generate({ prompt: 'a' }).promise).device.kind, 'cpu', 'it stays there');
});

test('a CPU that dies twice is told, and may be tried again', async () => {
  scripts = [dying('cpu'), dying('cpu'), good('cpu')];
  const one = client();
  const result = await one.generate({ prompt: 'a' }).promise;
  assert.deepEqual([result.ok, result.reason, started], [false, 'device_lost', 2]);
  assert.match(result.message, /twice/);
  assert.equal((await one.generate({ prompt: 'a' }).promise).ok, true);
});

test('numbers that are none send a GPU away at once, and are told of a CPU', async () => {
  const nan = (kind) => (data) =>
    data.type === 'generate' ? data.say({ id: data.id, value: { ok: false, reason: 'not_finite', message: 'No numbers.' } }) : good(kind)(data);
  scripts = [nan('webgpu'), good('webgpu')];
  assert.equal((await client().generate({ prompt: 'a' }).promise).device.kind, 'cpu');
  [started, scripts] = [0, [nan('cpu')]];
  const result = await client().generate({ prompt: 'a' }).promise;
  assert.deepEqual([result.reason, started], ['not_finite', 1]);
});

test('what cannot be loaded is told, and can be tried again', async () => {
  scripts = [({ id, say }) => say({ id, value: { ok: false, reason: 'download_failed', message: 'No.' } }), good('cpu')];
  const one = client();
  assert.equal((await one.load()).reason, 'download_failed');
  assert.equal((await one.load()).ok, true);
  assert.equal(one.loaded.model.name, 'm');
});

test('a worker that cannot start is told', async () => {
  globalThis.Worker = class {
    constructor() {
      throw new DOMException('refused', 'SecurityError');
    }
  };
  const result = await client().load();
  globalThis.Worker = FakeWorker;
  assert.deepEqual([result.ok, result.reason], [false, 'backend_unavailable']);
});

test('a request that makes no sense is told without a worker', async () => {
  for (const params of [{}, { prompt: 1 }, { prompt: 'a', seed: -1 }, { prompt: 'a', seed: 2 ** 53 }, { prompt: 'a', count: 17 }, { prompt: 'a', colour: 'red' }]) {
    const result = await client().generate(params).promise;
    assert.equal(result.reason, 'unsupported_option', JSON.stringify(params));
  }
  assert.equal(started, 0);
});

test('unload ends the run and the worker', async () => {
  const one = client();
  const { promise } = one.generate({ prompt: 'a' });
  await one.unload();
  assert.equal((await promise).reason, 'cancelled');
  assert.equal(one.loaded, null);
});

test('on the CPU several workers share the pictures and tell one story', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 3 }, configurable: true });
  const events = [];
  const one = client();
  const result = await one.generate({ prompt: 'a', seed: 5, count: 4 }, (event) => events.push(event)).promise;
  assert.deepEqual(result.images, [5, 6, 7, 8]);
  assert.equal(started, 3);
  assert.deepEqual(events.filter(({ phase }) => phase === 'denoising').map(({ step }) => step), [1, 2, 3]);

  const run = one.generate({ prompt: 'a', count: 4 }, ({ phase }) => phase === 'denoising' && run.abort());
  assert.equal((await run.promise).reason, 'cancelled');
  assert.equal((await one.generate({ prompt: 'a', count: 2 }).promise).images.length, 2);
  assert.equal(started, 3, 'the workers are kept');

  [started, scripts] = [0, [good('cpu'), dying('cpu'), good('cpu')]];
  const again = await client().generate({ prompt: 'a', count: 2 }).promise;
  assert.deepEqual([again.ok, again.images.length, started], [true, 2, 4]);

  [started, scripts] = [0, [good('webgpu')]];
  await client().generate({ prompt: 'a', count: 4 }).promise;
  assert.equal(started, 1, 'a GPU takes all in one batch');
});
