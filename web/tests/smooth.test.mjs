// The page never waits for what its worker does: nothing on its thread takes longer than 50 milliseconds.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, make, open, ready } from './browser.mjs';
import { serve } from './server.mjs';

/** The page with the model of the tests and the page with the shipped one, from `cargo xtask test`. */
const { FIREFALL_DIST: tiny, FIREFALL_SHIPPED: shipped } = process.env;
/** A busy machine may keep a page waiting now and then; a page that waits for its worker waits in every run. */
const RUNS = 3;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page that remembers its long tasks, milliseconds, as is tried here with one. */
async function watching(url) {
  const page = await open(browser, url);
  await ready(page);
  await page.evaluate(() => {
    window.long = [];
    new PerformanceObserver((list) => window.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
    setTimeout(() => {
      for (const end = performance.now() + 200; performance.now() < end; );
    });
  });
  await page.waitForFunction(() => window.long.some((duration) => duration >= 100), null, { timeout: 30_000 });
  return page;
}

/** The long tasks of the best of a few runs. */
async function longest(page) {
  let tasks;
  for (let run = 0; run < RUNS; run++) {
    await page.evaluate(() => (window.long.length = 0));
    const { status, trouble } = await make(page, 'a red circle', { timeout: 600_000 });
    assert.match(status, /^Done/, trouble);
    tasks = await page.evaluate(() => window.long);
    if (tasks.length === 0) break;
  }
  return tasks;
}

for (const [name, folder, devices, steps] of [
  ['tiny', tiny, ['cpu', 'webgpu'], null],
  ['shipped', shipped, ['cpu', 'webgpu'], '2'],
]) {
  for (const device of devices) {
    test(`the page never waits while the ${name} model works on ${device}`, { skip: !folder && 'no such page' }, async () => {
      const server = await serve(folder);
      const page = await watching(`${server.url}?device=${device}`);
      await page.click('#settings summary');
      if (steps) for (const field of await page.getByLabel('Steps').all()) await field.fill(steps);
      assert.deepEqual(await longest(page), []);
      assert.match(await page.textContent('#device'), device === 'cpu' ? /CPU/ : /by WebGPU/);
      await page.context().close();
      await server.close();
    });
  }
}
