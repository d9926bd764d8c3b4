// What goes wrong with the device and with the worker that owns it, one by one: each ends in a sentence for the user and a
// page that still works. The numbers are those of the list of faults that a web demo must survive.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { make, open, outcome, ready } from './browser.mjs';
import { browser, dist, heal, listen, server, trouble, visit, workers, works } from './faulty.mjs';
import * as injections from './injections.mjs';
import { serve } from './server.mjs';

const { barest, broken, dies, garbles, late, loses, losesReading, losesTrying } = injections;
const { misused, passing, spoils, stalls, starves, traps, watched, without } = injections;

/** The page's line about the device. */
const device = (page) => page.textContent('#device');

/** A picture, and all that the page said until it was there. */
async function made(page) {
  const said = await listen(page);
  const { status, trouble } = await make(page, 'a red circle');
  assert.match(status, /^Done/, trouble);
  return said();
}

/** `work` is done in the page's worker, which ends by it. */
async function ends(page, work) {
  const [worker] = page.workers();
  const gone = worker.waitForEvent('close', { timeout: 60_000 });
  // It may be gone before it answers.
  worker.evaluate(work).catch(() => {});
  await gone;
}

/** No WebGPU that works: the page takes the CPU and says why. */
const NO_GPU = {
  'W1 no navigator.gpu': [without.gpu, /no WebGPU/],
  'W2 no adapter': [without.adapter, /finds no graphics device/],
  'W2 a driver that never answers': [without.answer, /did not answer for 15 seconds/],
  'W3 an adapter that is software by its name': ['', /software/],
  'W3 an adapter that says it is software': [passing({ isFallbackAdapter: true }), /software/],
  'W5 less than the least limits': [
    passing({}, { maxStorageBuffersPerShaderStage: 4, maxComputeInvocationsPerWorkgroup: 256 }),
    /less than 8/,
  ],
  'W6 no device': [passing() + without.device, /does not work: .*busy/],
  'W6 a driver that never opens a device': [passing() + without.opening, /does not work: it did not answer for 60 seconds/],
  'W7 a device that is lost while it is tried': [passing() + losesTrying, /does not work: /],
  'W9 no memory for the first buffer': [passing() + starves(), /does not work: The graphics device has no memory left/],
  'W11 shaders that the driver refuses': [passing() + garbles, /does not work/],
  'W13 a device that computes wrongly': [passing() + spoils(0.5), /does not work: .*should be/],
};
for (const [name, [injected, why]] of Object.entries(NO_GPU)) {
  test(name, async () => {
    const page = await visit({ injected, path: '' });
    await ready(page);
    const line = await device(page);
    assert.match(line, /^On the CPU, because/);
    assert.match(line, why);
    await works(page);
  });
}

/** What a page is told that asks what its browser offers, where `injected` comes before everything else. */
async function detected(injected) {
  const page = await open(browser, 'about:blank', { serviceWorkers: 'block' });
  await page.addInitScript({ content: injected });
  await page.goto(`${server.url}?device=cpu`);
  const offered = await page.evaluate(async () => {
    const source = document.querySelector('script[type=module]').src;
    const { FirefallClient } = await import(new URL('firefall/index.js', source));
    return FirefallClient.detect();
  });
  await page.context().close();
  return offered;
}

test('W1, W2 what a browser offers is told in time, also where its driver never answers', { timeout: 120_000 }, async () => {
  heal();
  const whole = await detected('');
  assert.deepEqual([whole.webgpu, whole.wasm], [true, true]);
  for (const injected of [without.gpu, without.adapter, without.answer]) {
    assert.deepEqual(await detected(injected), { webgpu: false, shaderF16: false, wasm: true }, injected);
  }
});

test('W3 a graphics card is taken without being asked for', async () => {
  const page = await visit({ injected: passing(), path: '' });
  await ready(page);
  assert.equal(await device(page), 'On nvidia ampere by WebGPU.');
  await made(page);
  assert.equal(await device(page), 'On nvidia ampere by WebGPU.');
  await page.context().close();
});

test('W4, W5 the least that WebGPU promises is enough, and needs no shader-f16', async () => {
  const page = await visit({ injected: barest + watched, path: '?device=webgpu' });
  await ready(page);
  const { limits, features } = await page.workers()[0].evaluate(() => {
    const limits = {};
    for (const limit in opened.limits) limits[limit] = opened.limits[limit];
    return { limits, features: [...opened.features] };
  });
  assert.equal(limits.maxStorageBufferBindingSize, 128 << 20);
  assert.equal(limits.maxBufferSize, 256 << 20);
  assert.equal(limits.maxComputeWorkgroupStorageSize, 16 << 10);
  assert.equal(limits.maxComputeInvocationsPerWorkgroup, 256);
  assert.equal(limits.maxStorageBuffersPerShaderStage, 8);
  assert.ok(!features.includes('shader-f16'), features.join());
  await made(page);
  assert.match(await device(page), /by WebGPU/);
  await page.context().close();
});

test('W6 a device that comes long after it was given up is let go, and the CPU goes on', { timeout: 300_000 }, async () => {
  const page = await visit({ injected: passing() + late, path: '' });
  await ready(page);
  assert.match(await device(page), /^On the CPU, because .*did not answer for 60 seconds/);
  const why = await page.workers()[0].evaluate(async () => {
    while (!globalThis.answer) await new Promise((resolve) => setTimeout(resolve, 10));
    answer();
    return (await opened.lost).reason;
  });
  assert.equal(why, 'destroyed');
  await made(page);
  assert.equal(workers(), 1);
  await page.context().close();
});

test('W7 a device that is lost while the model loads is opened again', async () => {
  const page = await visit({ injected: loses('model'), times: 1, path: '?device=webgpu' });
  // The loading may be over before the loss is heard of.
  const ended = () => /^Ready/.test(document.getElementById('status').textContent) || !document.getElementById('trouble').hidden;
  await page.waitForFunction(ended, null, { timeout: 120_000 });
  if (await page.isVisible('#trouble')) {
    assert.match(await page.textContent('#trouble'), /lost.*Try again/);
    await page.click('#trouble button');
    await ready(page);
  }
  await made(page);
  assert.match(await device(page), /by WebGPU/);
  assert.equal(workers(), 2);
  await page.context().close();
});

test('W7, W23 a device that is lost while another tab is in front is opened again for the next picture', async () => {
  const page = await visit({ injected: watched, path: '?device=webgpu' });
  await ready(page);
  await (await page.context().newPage()).bringToFront();
  await ends(page, () => opened.destroy());
  await page.bringToFront();
  await made(page);
  assert.match(await device(page), /by WebGPU/);
  assert.equal(workers(), 2);
  await page.context().close();
});

/** A device that fails once in a run: the page says so, opens it again and repeats the run. */
const ONCE = {
  'W7 a device that is lost in a run': [loses('denoising'), /(lost|device failed).*Trying again\./s],
  'W7 a device that is lost while it hands over a picture': [losesReading('stage_started'), /(lost|device failed).*Trying again\./s],
  'W9 a device without memory for a run': [starves('encoded'), /^The graphics device has no memory left\. Trying again\.$/m],
  'W10 a command that the device refuses': [misused('denoising'), /The graphics device refused a command: .*Trying again\./s],
};
for (const [name, [injected, message]] of Object.entries(ONCE)) {
  test(`${name} is opened again, and the run repeated`, async () => {
    const page = await visit({ injected, times: 1, path: '?device=webgpu' });
    await ready(page);
    assert.match(await made(page), message);
    assert.match(await device(page), /by WebGPU/);
    assert.equal(workers(), 2);
    await works(page);
  });
}

test('W8 a device that is lost again and again is left for the CPU, for good', async () => {
  const page = await visit({ injected: loses('denoising'), path: '?device=webgpu' });
  await ready(page);
  const said = await made(page);
  assert.equal(said.match(/Trying again\./g).length, 2, said);
  assert.match(await device(page), /^On the CPU, because the graphics device failed/);
  await made(page);
  assert.equal(workers(), 3);
  await page.context().close();
});

for (const value of ['NaN', 'Infinity']) {
  test(`W12 ${value} comes from a device that is left for the CPU`, async () => {
    const page = await visit({ injected: spoils(value, 'model'), path: '?device=webgpu' });
    await ready(page);
    assert.match(await made(page), /values that are no numbers\. Trying again\./);
    assert.match(await device(page), /^On the CPU, because the graphics device failed/);
    assert.equal(workers(), 2);
    await works(page);
  });
}

/** Answers of a server whose model has an infinite weight, the last one of `name`, as if it had been published so. */
async function infinite(name) {
  const folder = join(dist, 'model');
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  const chunk = manifest.files.find((file) => file.name === name).chunks.at(-1);
  const bytes = await readFile(join(folder, `${chunk.sha256}.bin`));
  // Infinity in 16 bits.
  bytes.writeUInt16LE(0x7c00, bytes.length - 2);
  chunk.sha256 = createHash('sha256').update(bytes).digest('hex');
  const answers = { 'manifest.json': JSON.stringify(manifest), [`${chunk.sha256}.bin`]: bytes };
  return async (file, response) => {
    const answer = answers[file.split('/').pop()];
    if (answer) response.writeHead(200).end(answer);
    return Boolean(answer);
  };
}

test('W12 a weight that is infinite is named, and the weights can be loaded again', async () => {
  const page = await visit({ fault: await infinite('stage1.safetensors') });
  assert.match(await trouble(page), /stage1\.safetensors: \S+ is inf at element \d+\. Reload the page; .*host.*Try again/i);
  heal();
  await page.click('#trouble button');
  await ready(page);
  await works(page);
});

test('W7, W17 a driver that hangs in a run does not keep the page: the run can be stopped', async () => {
  const page = await visit({ injected: stalls('denoising'), times: 1, path: '?device=webgpu' });
  await ready(page);
  await page.fill('#prompt', 'a red circle');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /step 1 of/.test(document.getElementById('status').textContent), null, { timeout: 120_000 });
  await page.click('#stop');
  assert.deepEqual(await outcome(page), { status: 'Stopped.', trouble: '' });
  await made(page);
  assert.match(await device(page), /by WebGPU/);
  assert.equal(workers(), 2);
  await page.context().close();
});

test('W17 a worker that dies in a run is replaced, and the run repeated', async () => {
  const page = await visit({ injected: dies('denoising', 2), times: 1 });
  await ready(page);
  assert.match(await made(page), /^The worker failed: .*injected\. Trying again\.$/m);
  assert.equal(workers(), 2);
  await works(page);
});

test('W17 a program that traps is replaced, and the run repeated', async () => {
  const page = await visit({ injected: traps, times: 1 });
  await ready(page);
  assert.match(await made(page), /^The program failed: unreachable\. Trying again\.$/m);
  assert.equal(workers(), 2);
  await works(page);
});

test('W17 a worker that dies when it has nothing to do is replaced for the next picture', async () => {
  const page = await visit();
  await ready(page);
  await ends(page, () => {
    setTimeout(() => {
      throw new Error('injected');
    });
  });
  assert.ok(await page.isHidden('#trouble'));
  await made(page);
  assert.equal(workers(), 2);
  await page.context().close();
});

test('W8, W17 a worker that always dies is told, and the page works when it no longer does', async () => {
  const page = await visit({ injected: dies('denoising', 2) });
  await ready(page);
  assert.match((await make(page, 'a red circle')).trouble, /^The worker failed: .*injected\. It was tried twice\. Try again$/);
  assert.equal(workers(), 2);
  heal();
  await page.click('#trouble button');
  const { status, trouble } = await outcome(page);
  assert.match(status, /^Done/, trouble);
  await works(page);
});

test('W17 a worker that fails as it begins is told, and can be tried again', async () => {
  const page = await visit({ injected: broken, times: 1 });
  assert.match(await trouble(page), /^The worker (failed: .*injected|could not be started.*)\. Try again$/);
  await page.click('#trouble button');
  await ready(page);
  await works(page);
});

test('W17 a worker that is missing is told, and can be tried again', async () => {
  const missing = async (file, response) => file.endsWith('/worker.js') && (response.writeHead(404).end(), true);
  const page = await visit({ fault: missing });
  assert.match(await trouble(page), /worker/);
  heal();
  await page.click('#trouble button');
  await ready(page);
  await works(page);
});

test('W17 a page that may have no workers says so, each time it is asked for a picture', async () => {
  const strict = await serve(dist, { headers: { 'content-security-policy': "worker-src 'none'" } });
  const page = await open(browser, strict.url, { serviceWorkers: 'block' });
  const refused = /worker.*(its host forbids workers|Content Security Policy)/s;
  assert.match(await trouble(page), refused);
  const first = await make(page, 'a red circle');
  assert.match(first.trouble, refused);
  await page.click('#trouble button');
  const again = await outcome(page);
  assert.match(again.trouble, refused);
  assert.ok(await page.isEnabled('#go'));
  assert.deepEqual(page.complaints, []);
  assert.ok(!strict.log.some((file) => file.endsWith('/worker.js')), 'the browser asked for the worker');
  await page.context().close();
  await strict.close();
});
