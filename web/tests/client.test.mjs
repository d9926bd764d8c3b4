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
    // As a browser does it: at once, and not for everything.
    const sent = structuredClone(data);
    const say = (message) => this.alive && this.onmessage({ data: message });
    queueMicrotask(() => this.script({ ...sent, say, worker: this }));
    return undefined;
  }
  terminate() {
    this.alive = false;
  }
}
globalThis.Worker = FakeWorker;

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
const model = { name: 'm', hash: '0', licence: '', stages: [], samplers: [] };

/** A worker that loads on `kind`, or on what it is asked for, makes a picture in three steps, and says yes to all else. */
const good = (kind) => async ({ id, type, device, why, say, worker, request }) => {
  if (type === 'load') {
    const kindOf = device === 'auto' ? kind : device;
    return say({ id, value: { ok: true, model, device: { kind: kindOf, name: kindOf, why }, stored: true } });
  }
  if (type !== 'generate') return say({ id, value: { ok: true } });
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

test('a busy policy is known by name, or refused', async () => {
  const one = client();
  const first = one.generate({ prompt: 'a' });
  const unknown = await one.generate({ prompt: 'b' }, () => {}, { busyPolicy: 'queue' }).promise;
  assert.equal(unknown.reason, 'unsupported_option');
  assert.match(unknown.message, /"queue".*replace, abort_and_queue, reject/);
  const next = one.generate({ prompt: 'c' }, () => {}, { busyPolicy: 'abort_and_queue' });
  assert.equal((await first.promise).reason, 'superseded');
  assert.equal((await next.promise).ok, true);
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

test('nothing more is told of a run that was stopped or replaced', async () => {
  // Its worker hears of the end too late.
  scripts = [(data) => good('cpu')({ ...data, worker: { cancelled: new Set() } })];
  const one = client();
  const told = [];
  const first = one.generate({ prompt: 'a' }, () => (told.push('a'), first.abort()));
  assert.equal((await first.promise).reason, 'cancelled');
  let third;
  const second = one.generate({ prompt: 'b' }, () => {
    told.push('b');
    third = one.generate({ prompt: 'c' }, () => told.push('c'));
  });
  assert.equal((await second.promise).reason, 'superseded');
  assert.equal((await third.promise).ok, true);
  assert.deepEqual(told, ['a', 'b', 'c', 'c', 'c']);
});

test('a run that replaces another while the model loads hears of the loading', async () => {
  scripts = [
    async (data) => {
      if (data.type === 'load') await tick();
      if (data.type === 'load') data.say({ id: data.id, event: { phase: 'weights', got: 1, total: 2 } });
      return good('cpu')(data);
    },
  ];
  const one = client();
  const told = [];
  const run = (prompt) => one.generate({ prompt }, ({ phase }) => phase === 'weights' && told.push(prompt)).promise;
  const first = run('a');
  while (started < 1) await Promise.resolve();
  const second = run('b');
  assert.deepEqual([(await first).reason, (await second).ok], ['superseded', true]);
  assert.deepEqual(told, ['b']);
});

test('a run that is stopped while the model loads ends at once', async () => {
  scripts = [() => {}];
  const one = client();
  const run = one.generate({ prompt: 'a' });
  await tick();
  run.abort();
  assert.equal((await run.promise).reason, 'cancelled');
  await one.unload();
});

test('unload while the model loads is no fault of the device', async () => {
  scripts = [({ id, say }) => say({ id, event: { phase: 'device' } }), good('webgpu')];
  const one = client();
  let loading;
  await new Promise((resolve) => {
    loading = one.load(resolve);
  });
  await one.unload();
  assert.equal((await loading).reason, 'cancelled');
  assert.equal(started, 1);
  assert.equal((await one.load()).device.kind, 'webgpu');
});

/** A run that has told its first step. */
async function atWork(one) {
  let run;
  await new Promise((resolve) => {
    run = one.generate({ prompt: 'a' }, ({ phase }) => phase === 'denoising' && resolve());
  });
  return run;
}

test('what is asked for while the weights are removed waits for it, and is not ended with it', async () => {
  const asked = [];
  scripts = [(data) => (asked.push([data.type, data.model]), good('cpu')(data))];
  const one = client({ model: 'http://y/m/' });
  const run = await atWork(one);
  const purging = one.purge();
  const next = one.generate({ prompt: 'b', seed: 3 });
  assert.equal((await run.promise).reason, 'cancelled');
  assert.deepEqual(await purging, { ok: true });
  const result = await next.promise;
  assert.deepEqual([result.ok, result.images], [true, [3]]);
  assert.deepEqual(asked, [
    ['load', 'http://y/m/'],
    ['generate', undefined],
    ['purge', 'http://y/m/'],
    ['load', 'http://y/m/'],
    ['generate', undefined],
  ]);
});

test('a load and a file that come while the worker is ended have the next one', async () => {
  const one = client();
  await atWork(one);
  const unloading = one.unload();
  const [loaded, read] = await Promise.all([one.load(), one.read(new ArrayBuffer(1))]);
  assert.deepEqual(await unloading, { ok: true });
  assert.deepEqual([loaded.ok, read.ok, started], [true, true, 2]);
  assert.equal(one.loaded.model.name, 'm');
});

test('a run that is stopped while the worker is ended loads nothing', async () => {
  const one = client();
  await atWork(one);
  const unloading = one.unload();
  const run = one.generate({ prompt: 'b' });
  const again = one.unload();
  assert.equal((await run.promise).reason, 'cancelled');
  assert.deepEqual(await Promise.all([unloading, again]), [{ ok: true }, { ok: true }]);
  await tick();
  assert.deepEqual([one.loaded, started], [null, 1]);
});

test('a worker that cannot load leaves its part to the others', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 3 }, configurable: true });
  scripts = [good('cpu'), ({ say }) => say({ fatal: 'No memory.' }), good('cpu')];
  const result = await client().generate({ prompt: 'a', seed: 5, count: 4 }).promise;
  assert.deepEqual([result.ok, result.images, started], [true, [5, 6, 7, 8], 3]);
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

test('a run stops while other workers load', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 3 }, configurable: true });
  scripts = [good('cpu'), () => {}];
  const one = client();
  const run = one.generate({ prompt: 'a', count: 4 });
  while (started < 3) await tick();
  run.abort();
  assert.equal((await run.promise).reason, 'cancelled');
  assert.deepEqual(await one.unload(), { ok: true });
});

test('a worker that dies says why, also where others work with it', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 2 }, configurable: true });
  scripts = [dying('cpu'), (data) => data.type === 'load' && good('cpu')(data)];
  const told = [];
  const one = client();
  const run = one.generate({ prompt: 'a', count: 2 }, (event) => {
    if (event.phase !== 'recovering') return;
    told.push(event.message);
    run.abort();
  });
  await run.promise;
  assert.deepEqual(told, ['Gone.']);
});

test('several workers tell of the stage of the slowest, and of a warning once', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 2 }, configurable: true });
  const staged = async (data) => {
    const { id, type, say, request } = data;
    if (type === 'load') return good('cpu')(data);
    say({ id, event: { phase: 'warning', message: 'the prompt of picture 1 is too long' } });
    say({ id, event: { phase: 'encoded', tokens: request.pictures.map(({ seed }) => 3 + seed) } });
    for (const stage of [1, 2]) {
      say({ id, event: { phase: 'stage_started', stage, stages: 2, size: 8, steps: 1 } });
      // The second worker is the slower one.
      for (let wait = request.pictures[0].seed; wait > 0; wait--) await tick();
      say({ id, event: { phase: 'denoising', stage, step: 1, steps: 1, images: [] } });
      say({ id, event: { phase: 'stage_done', stage } });
    }
    return say({ id, value: { ok: true, images: [], settings: {} } });
  };
  scripts = [staged];
  const told = [];
  const tell = ({ phase, stage, tokens, message }) => told.push(message ?? `${phase} ${tokens ?? stage}`);
  assert.equal((await client().generate({ prompt: 'a', seed: 0, count: 2 }, tell).promise).ok, true);
  const stages = [1, 2].flatMap((stage) => ['stage_started', 'denoising', 'stage_done'].map((phase) => `${phase} ${stage}`));
  assert.deepEqual(told, ['The prompt is too long.', 'encoded 3,4', ...stages]);
});

test('settings that no worker can be sent are copied, or told', async () => {
  let heard;
  scripts = [(data) => ((heard = data.request ?? heard), good('cpu')(data))];
  const stages = new Proxy([{ steps: 3 }], {});
  assert.equal((await client().generate({ prompt: 'a', stages }).promise).ok, true);
  assert.deepEqual(structuredClone(heard).stages, [{ steps: 3 }]);
  const round = [];
  round.push(round);
  assert.equal((await client().generate({ prompt: 'a', stages: round }).promise).reason, 'unsupported_option');
});

test('what no worker can be sent is told, and ends neither the worker nor a run', async () => {
  const one = client();
  const run = await atWork(one);
  const taken = new ArrayBuffer(1);
  structuredClone(taken, { transfer: [taken] });
  for (const result of [await one.read(taken), await one.png(new Proxy(image(1, 1, 9), {}), {})]) {
    assert.equal(result.reason, 'unsupported_option');
    assert.match(result.message, /^What was given cannot be sent to the worker: .*\.$/);
  }
  assert.equal((await run.promise).ok, true);
  assert.deepEqual([one.loaded.model.name, started], ['m', 1]);
});

test('how a picture was made is copied, or told', async () => {
  let heard;
  scripts = [(data) => ((heard = data.origin ?? heard), good('cpu')(data))];
  const origin = { prompt: 'a', settings: new Proxy({ stages: [{ steps: 3 }] }, {}) };
  assert.equal((await client().png(image(1, 1, 9), origin)).ok, true);
  assert.deepEqual(heard, { prompt: 'a', settings: { stages: [{ steps: 3 }] } });
  const refused = await client().png(image(1, 1, 9), { ...origin, seed: 7n });
  assert.deepEqual([refused.reason, started], ['unsupported_option', 1]);
});

test('a file that is read while a graphics device ends the worker does not end the next one', async () => {
  const ending = ({ id, type, say }) => {
    if (type !== 'load') return;
    say({ id, event: { phase: 'device' } });
    setTimeout(() => say({ fatal: 'Gone.' }), 1);
  };
  scripts = [ending, good('webgpu')];
  const one = client();
  const [loaded, read] = await Promise.all([one.load(), one.read(new ArrayBuffer(1))]);
  assert.deepEqual([loaded.ok, loaded.device?.kind, started], [true, 'cpu', 2]);
  assert.deepEqual([read.reason, read.message], ['backend_unavailable', 'Gone.']);
});

test('what a worker says is a sentence', async () => {
  scripts = [({ id, say }) => say({ id, value: { ok: false, reason: 'webgpu_unsupported', message: 'this browser has no WebGPU' } })];
  assert.equal((await client().load()).message, 'This browser has no WebGPU.');
});

/** A picture of one colour, as a page has it; Node has no ImageData. */
const image = (width, height, value) => ({ width, height, data: new Uint8ClampedArray(4 * width * height).fill(value) });

test('what is to be painted goes to every worker, and again after a lost device, as it was', async () => {
  const heard = [];
  const listening = (script) => (data) => {
    if (data.type === 'generate') heard.push(data);
    return script(data);
  };
  scripts = [listening(dying('cpu')), listening(good('cpu'))];
  const how = { preset: 'balanced', strength: 0.5, context: 2, grow: 0, feather: 1.5 };
  const paint = { image: image(2, 1, 9), mask: image(2, 1, 255), ...how };
  const run = client().generate({ prompt: 'a', count: 2, paint });
  // Too late to change anything.
  paint.image.data.fill(0);
  paint.mask.data.fill(0);
  assert.equal((await run.promise).ok, true);
  assert.ok(heard.length >= 3, `${heard.length} runs`);
  for (const { request, paint } of heard) {
    assert.deepEqual(request.paint, how);
    assert.deepEqual(paint, { rgba: new Uint8Array(8).fill(9), mask: new Uint8Array(2).fill(255), width: 2, height: 1 });
  }
});

test('white is painted, black and transparent are not', async () => {
  let mask;
  scripts = [(data) => ((mask = data.paint?.mask ?? mask), good('cpu')(data))];
  const data = new Uint8ClampedArray([255, 255, 255, 255, 0, 0, 0, 255, 255, 255, 255, 0, 255, 255, 255, 128]);
  await client().generate({ prompt: 'a', paint: { image: image(4, 1, 9), mask: { width: 4, height: 1, data } } }).promise;
  assert.deepEqual([...mask], [255, 0, 0, 128]);
});

test('what cannot be painted is told without a worker', async () => {
  const whole = { image: image(2, 2, 9), mask: new Uint8Array(4) };
  for (const [paint, message] of [
    [null, /picture/],
    [{ ...whole, image: 'a.png' }, /picture/],
    [{ ...whole, mask: [1, 2, 3, 4] }, /mask/],
    [{ ...whole, mask: image(2, 1, 255) }, /2 x 1 .* 2 x 2/],
    [{ ...whole, colour: 'red' }, /"paint\.colour"/],
    [{ ...whole, preset: 1 }, /preset/],
    [{ ...whole, strength: 0 }, /strength/],
    [{ ...whole, strength: '1/2' }, /strength/],
    [{ ...whole, context: '2' }, /"paint\.context" must be a number/],
    [{ ...whole, grow: NaN }, /"paint\.grow" must be a number/],
    [{ ...whole, feather: Infinity }, /"paint\.feather" must be a number/],
  ]) {
    const result = await client().generate({ prompt: 'a', paint }).promise;
    assert.equal(result.reason, 'unsupported_option');
    assert.match(result.message, message);
  }
  assert.equal(started, 0);
});
