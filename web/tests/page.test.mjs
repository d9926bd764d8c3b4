// What a visitor does, on the page as it is built, with the model of the tests.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, make, open, outcome, pixels, ready, remembered } from './browser.mjs';
import { decoded, drop, saved, shown } from './files.mjs';
import { serve } from './server.mjs';

const exec = promisify(execFile);
/** The folder to serve, its model and the program beside it, from `cargo xtask test`. */
const { FIREFALL_DIST: dist, FIREFALL_MODEL: model, FIREFALL: firefall } = process.env;
/** Where screenshots go, if they are wanted; those of the whole page are made by layout.test.mjs. */
const shots = process.env.FIREFALL_SHOTS;

/** The shipped model and the page with it. */
const shipped = process.env.FIREFALL_SHIPPED && { dist: process.env.FIREFALL_SHIPPED, model: process.env.FIREFALL_SHIPPED_MODEL };

let server;
let browser;
let scratch;
before(async () => {
  [server, browser, scratch] = [await serve(dist), await launch(), await mkdtemp(join(tmpdir(), 'firefall-'))];
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const visit = async (path = '', options = {}) => {
  const page = await open(browser, server.url + path, options);
  await ready(page);
  return page;
};

/** The largest difference of a byte between the page's picture and the command line's of the same prompt and seed. */
async function differs(page, prompt, seed) {
  const file = join(scratch, `${Math.random()}.png`);
  await exec(firefall, ['sample', '--model', model, '--device', 'cpu', '--seed', String(seed), prompt, '--out', file]);
  const want = await decoded(page, file);
  const got = await pixels(page);
  assert.equal(got.data.length, want.length);
  return Math.max(...got.data.map((value, i) => Math.abs(value - want[i])));
}

test('a browser without relaxed-simd gets a program without it, and the same picture', async () => {
  server.fault = async (file, response, body) => {
    if (!file.endsWith('/program.js')) return false;
    response.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'no-store' });
    response.end(`WebAssembly.validate = () => false;\n${body}`);
    return true;
  };
  server.log.length = 0;
  const page = await visit('?device=cpu', { serviceWorkers: 'block' });
  server.fault = null;
  const programs = server.log.map(String).filter((line) => line.includes('.wasm'));
  assert.ok(programs.length > 0 && programs.every((line) => line.includes('firefall_web_plain.wasm')), programs.join());
  await page.click('#settings summary');
  await page.fill('#seed', '7');
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  assert.ok((await differs(page, 'a red circle', 7)) <= 2);
  await page.context().close();
});

for (const device of ['cpu', 'webgpu']) {
  test(`a prompt becomes the picture of the command line, on ${device}`, async () => {
    const page = await visit(`?device=${device}`);
    const before = await pixels(page);
    await page.evaluate(() => {
      window.seen = new Set();
      new MutationObserver(() => window.seen.add(document.getElementById('status').textContent)).observe(
        document.getElementById('status'),
        { childList: true, characterData: true, subtree: true },
      );
    });
    await page.click('#settings summary');
    await page.fill('#seed', '7');
    const result = await make(page, 'a red circle');
    assert.match(result.status, /^Done in .*, seed 7\.$/, result.trouble);
    assert.match(await page.textContent('#device'), device === 'cpu' ? /CPU/ : /WebGPU/);
    assert.notDeepEqual((await pixels(page)).data, before.data);
    assert.ok((await differs(page, 'a red circle', 7)) <= 2);
    const seen = await page.evaluate(() => [...window.seen]);
    assert.ok(seen.some((line) => /^Stage 1 of 2, .*: step 1 of/.test(line)), seen.join('\n'));
    assert.ok(seen.some((line) => /^Stage 2 of 2, .*: step/.test(line)), seen.join('\n'));
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
}

/** A page in the midst of a run that takes long. */
async function atWork() {
  const page = await visit('?device=cpu');
  await page.click('#settings summary');
  await page.locator('#stages input').first().fill('1000');
  await page.fill('#prompt', 'a red circle');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  return page;
}

test('a run stops within a step, and the page works on', async () => {
  const page = await atWork();
  await page.keyboard.press('Escape');
  assert.equal((await outcome(page, 5000)).status, 'Stopped.');
  const line = await page.textContent('#status');
  await page.waitForTimeout(300);
  assert.equal(await page.textContent('#status'), line, 'nothing more is told of a stopped run');
  await page.click('#reset');
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  await page.context().close();
});

test('a run that is stopped brings back the picture before it, and the focus stays where it was', async () => {
  const page = await visit('?device=cpu');
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  const before = await pixels(page);
  await page.click('#settings summary');
  await page.locator('#stages input').first().fill('1000');
  const focused = () => page.evaluate(() => document.activeElement.id);
  await page.press('#again', 'Enter');
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  assert.equal(await focused(), 'stop');
  await page.keyboard.press('Enter');
  assert.equal((await outcome(page, 5000)).status, 'Stopped.');
  assert.equal(await focused(), 'again');
  assert.deepEqual(await pixels(page), before);
  assert.ok(await page.isVisible('#save'));
  await page.context().close();
});

test('a field that says nothing of use is shown, also in the closed fold', async () => {
  const page = await visit('?device=cpu');
  await page.evaluate(() => (document.getElementById('count').value = '99'));
  await page.fill('#prompt', 'a red circle');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /^Pictures must be/.test(document.getElementById('trouble').textContent));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'count');
  assert.ok(await page.isVisible('#count'));
  await page.context().close();
});

test('the latest prompt wins', async () => {
  const page = await atWork();
  await page.click('#reset');
  await page.fill('#seed', '3');
  const result = await make(page, 'a blue star');
  assert.match(result.status, /^Done in .*, seed 3\.$/, result.trouble);
  assert.ok((await differs(page, 'a blue star', 3)) <= 2);
  await remembered(page, 1);
  await page.context().close();
});

test('typing works while the weights are on their way', async () => {
  server.fault = async (file) => {
    if (file.endsWith('.bin')) await new Promise((resolve) => setTimeout(resolve, 400));
    return false;
  };
  const page = await open(browser, `${server.url}?device=cpu`);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'prompt');
  await page.keyboard.type('a red circle');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /Loading program and weights: .* MB/.test(document.getElementById('status').textContent));
  const { status, trouble } = await outcome(page);
  assert.match(status, /^Done/, trouble);
  server.fault = null;
  await page.context().close();
});

test('a link of which nothing is understood leaves the form alone, and that is told', async () => {
  const page = await visit('?device=cpu');
  await page.click('#settings summary');
  await page.fill('#prompt', 'a red circle');
  await page.fill('#seed', '5');
  for (const [hash, words] of [['#top', 'The link has "top"'], [`#v=1&prompt=${'x'.repeat(50_000)}`, 'The link is too long']]) {
    await page.evaluate((hash) => (location.hash = hash), hash);
    await page.getByRole('alert').filter({ hasText: words }).waitFor({ timeout: 10_000 });
    assert.deepEqual([await page.inputValue('#prompt'), await page.inputValue('#seed')], ['a red circle', '5']);
  }
  await page.context().close();
});

test('a line break in a link is a space in the form', async () => {
  const page = await visit('?device=cpu#v=1&prompt=a%20red%20star%0D%0Aabove&negative=gray%0Ablue');
  assert.deepEqual([await page.inputValue('#prompt'), await page.inputValue('#negative')], ['a red star above', 'gray blue']);
  await page.context().close();
});

test('a link brings back prompt, seed and settings', async () => {
  const page = await visit('?device=cpu');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.click('#settings summary');
  await page.fill('#seed', '11');
  await page.fill('#negative', 'gray');
  await page.locator('#stages input').first().fill('4');
  await page.locator('#stages select').first().selectOption('ddim');
  assert.match((await make(page, 'three "green" stars & more')).status, /seed 11/);
  const before = await pixels(page);
  await page.click('#share');
  await page.waitForFunction(() => /link/.test(document.getElementById('status').textContent));
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(link, page.url());

  const other = await open(browser, link);
  await ready(other);
  assert.equal(await other.inputValue('#prompt'), 'three "green" stars & more');
  assert.equal(await other.inputValue('#negative'), 'gray');
  assert.ok(await other.locator('#trouble').isHidden(), await other.textContent('#trouble'));
  await other.press('#prompt', 'Enter');
  assert.match((await outcome(other)).status, /seed 11/);
  assert.deepEqual((await pixels(other)).data, before.data);
  await page.context().close();
  await other.context().close();
});

test('a saved picture knows how it was made, and brings that back when it is dropped on the page', async () => {
  const page = await visit('?device=cpu');
  await page.click('#settings summary');
  await page.fill('#seed', '5');
  await page.fill('#count', '2');
  await page.locator('#stages input').first().fill('4');
  assert.match((await make(page, 'a red circle')).status, /seeds 5 to 6/);
  await page.locator('#pictures canvas').nth(1).click();
  const file = await saved(page);
  const { prompt, seed, settings, model: hash } = await shown(file);
  assert.deepEqual([prompt, seed, JSON.parse(settings).stages[0].steps], ['a red circle', '6', 4]);
  assert.equal(hash, await page.evaluate(async () => (await (await fetch('model/manifest.json')).json()).hash));

  const other = await visit('?device=cpu');
  await drop(other, 'a.png', file);
  await other.waitForFunction(() => /settings of a\.png/.test(document.getElementById('status').textContent));
  assert.equal(await other.inputValue('#prompt'), 'a red circle');
  assert.equal(await other.inputValue('#seed'), '6');
  await other.press('#prompt', 'Enter');
  assert.match((await outcome(other)).status, /seed 6/);
  const [first, again] = [await pixels(page, 1), await pixels(other)];
  const off = Math.max(...first.data.map((value, i) => Math.abs(value - again.data[i])));
  assert.ok(off <= 1, `a picture depends on its batch: ${off}`);

  const none = join(scratch, 'none');
  await writeFile(none, 'no picture');
  await drop(other, 'b.png', none);
  await other.waitForFunction(() => /b\.png: .*not a PNG/i.test(document.getElementById('trouble').textContent));
  await page.context().close();
  await other.context().close();
});

test('a picture is opened without a mouse, and text can be dragged', async () => {
  const page = await visit('?device=cpu');
  await page.click('#settings summary');
  await page.fill('#seed', '5');
  assert.match((await make(page, 'a red circle')).status, /seed 5/);
  const [file, picture] = [await saved(page), await pixels(page)];

  const other = await visit('?device=cpu');
  await other.click('#settings summary');
  for (let times = 0; times < 2; times++) {
    const [chooser] = await Promise.all([other.waitForEvent('filechooser'), other.press('#open', 'Enter')]);
    await chooser.setFiles(file);
    await other.waitForFunction(() => document.getElementById('seed').value === '5');
    assert.match(await other.textContent('#status'), /^The settings of .*\.png are in the form\./);
    assert.equal(await other.inputValue('#prompt'), 'a red circle');
    assert.deepEqual((await pixels(other)).data, picture.data);
    await other.fill('#seed', '6');
  }
  const free = await other.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData('text/plain', 'a red circle');
    const drag = (type) => document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    return drag('dragover') && drag('drop');
  });
  assert.ok(free);
  await page.context().close();
  await other.context().close();
});

test('after one visit the page works without a network', async () => {
  const page = await visit('?device=cpu');
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.context().setOffline(true);
  server.log.length = 0;
  await page.reload();
  await ready(page);
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  assert.deepEqual(server.log, []);
  await page.context().close();
});

test('weights of an older model go when a new one comes', async () => {
  const page = await visit('?device=cpu');
  const stale = 'f'.repeat(64);
  const kept = (page) =>
    page.evaluate(async () => (await (await caches.open('firefall-weights')).keys()).map(({ url }) => url.split('/').pop()).sort());
  const whole = await kept(page);
  await page.evaluate(async (stale) => {
    const cache = await caches.open('firefall-weights');
    await cache.put(new URL(`model/${stale}.bin`, location.href.split('?')[0]), new Response('old'));
  }, stale);
  assert.equal((await kept(page)).length, whole.length + 1);
  await page.reload();
  await ready(page);
  assert.deepEqual(await kept(page), whole);
  await page.click('#forget');
  await page.waitForFunction(() => document.getElementById('status').textContent === 'Removed.');
  assert.deepEqual(await kept(page), []);
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  await page.context().close();
});

test('a link is read also after the weights were removed', async () => {
  const page = await visit('?device=cpu');
  await page.click('#forget');
  await page.waitForFunction(() => document.getElementById('status').textContent === 'Removed.');
  await page.evaluate(() => (location.hash = '#v=1&prompt=a%20blue%20star&seed=9'));
  await page.waitForFunction(() => document.getElementById('seed').value === '9', null, { timeout: 10_000 });
  assert.equal(await page.inputValue('#prompt'), 'a blue star');
  await page.context().close();
});

test('a prompt with half a character is saved', async () => {
  const page = await visit('?device=cpu');
  await page.evaluate(() => (document.getElementById('prompt').value = 'a red circle \ud800'));
  await page.press('#prompt', 'Enter');
  const { status, trouble } = await outcome(page);
  assert.match(status, /^Done/, trouble);
  assert.match((await shown(await saved(page))).prompt, /^a red circle /);
  await page.context().close();
});

test('two tabs may load at once', async () => {
  const context = await browser.newContext();
  const pages = await Promise.all([context.newPage(), context.newPage()]);
  await Promise.all(pages.map((page) => page.goto(`${server.url}?device=cpu`)));
  for (const page of pages) {
    await ready(page);
    assert.match((await make(page, 'a red circle')).status, /^Done/);
  }
  await context.close();
});

test('keyboard alone is enough', async () => {
  const page = await visit('?device=cpu');
  await page.keyboard.type('a red circle');
  await page.keyboard.press('Enter');
  assert.match((await outcome(page)).status, /^Done/);
  const reached = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
  }
  for (const id of ['prompt', 'go', 'SUMMARY', 'save', 'share', 'again', 'forget']) assert.ok(reached.has(id), `${id}: ${[...reached]}`);
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll('button, input, select, canvas, progress')]
      .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label')))
      .map((e) => e.outerHTML),
  );
  assert.deepEqual(unnamed, []);
  await page.context().close();
});

/** A prompt and a seed of which the command line makes what the prompt says; weights are not right every time. */
async function readable(model) {
  for (let seed = 1; seed <= 40; seed++) {
    for (const [colour, shape] of [['red', 'circle'], ['blue', 'square'], ['green', 'triangle'], ['black', 'diamond']]) {
      const file = join(scratch, `${colour}-${shape}-${seed}.png`);
      const prompt = `a ${colour} ${shape}`;
      await exec(firefall, ['sample', '--model', model, '--device', 'cpu', '--seed', String(seed), prompt, '--out', file]);
      const read = await exec(firefall, ['world', '--read', file]).catch(() => null);
      const lines = read?.stdout.trim().split('\n') ?? [];
      if (lines.length === 2 && lines[1].startsWith(`${colour} ${shape},`)) return { prompt, seed, read: lines[1].split(',')[0] };
    }
  }
  throw new Error('the model makes no picture that the parser reads');
}

test('the shipped model draws what its prompt says', { skip: !shipped && 'no $FIREFALL_SHIPPED' }, async () => {
  const { prompt, seed, read } = await readable(shipped.model);
  const own = await serve(shipped.dist);
  const page = await open(browser, `${own.url}?device=cpu`);
  await ready(page);
  await page.click('#settings summary');
  await page.fill('#seed', String(seed));
  assert.match((await make(page, prompt)).status, /^Done/);
  const file = await saved(page);
  const { stdout } = await exec(firefall, ['world', '--read', file]);
  assert.match(stdout.split('\n')[1], new RegExp(`^${read},`));
  if (shots) await page.screenshot({ path: join(shots, 'shipped.png') });
  await page.context().close();
  await own.close();
});
