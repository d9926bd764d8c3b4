// Painting over a part of a picture, on the page as it is built, with the model of the tests.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, make, open, outcome, pixels, ready, remembered } from './browser.mjs';
import { decoded, drop, saved, shown } from './files.mjs';
import { dies } from './injections.mjs';
import { serve } from './server.mjs';

const exec = promisify(execFile);
const { FIREFALL_DIST: dist, FIREFALL_MODEL: model, FIREFALL: firefall } = process.env;
/** Pixels that a mask grows by, and of its soft edge at most: see `inpaint::Blend`. */
const [GROW, FEATHER] = [4, 32];

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

async function visit(options = {}, path = '?device=cpu') {
  const page = await open(browser, server.url + path, options);
  await ready(page);
  await page.click('#settings summary');
  return page;
}

/** A page with a picture of seed 1, and the brush over it. */
async function atEasel(options, path) {
  const page = await visit(options, path);
  await page.fill('#seed', '1');
  assert.match((await make(page, 'a red circle')).status, /^Done/);
  const picture = await pixels(page);
  await page.click('#over');
  return { page, picture };
}

/** The mouse goes from one place to another, both as shares of the picture. */
async function drag(page, [x0, y0], [x1, y1]) {
  await page.locator('#brush-mask').scrollIntoViewIfNeeded();
  const { x, y, width, height } = await page.locator('#brush-mask').boundingBox();
  await page.mouse.move(x + x0 * width, y + y0 * height);
  await page.mouse.down();
  await page.mouse.move(x + x1 * width, y + y1 * height, { steps: 5 });
  await page.mouse.up();
}

/** Which pixels are under the brush. */
const painted = (page) =>
  page.evaluate(() => {
    const canvas = document.getElementById('brush-mask');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3] >= 128);
  });

/** Checks where a picture changed: in the mask, and nowhere far from it. */
function changedThere(before, after, mask, reach = GROW + FEATHER) {
  assert.deepEqual([after.width, after.height], [before.width, before.height]);
  const { width } = before;
  const inside = mask.flatMap((on, i) => (on ? [[i % width, Math.floor(i / width)]] : []));
  let [far, changed] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    const same = [0, 1, 2].every((c) => before.data[4 * i + c] === after.data[4 * i + c]);
    const near = inside.some(([x, y]) => Math.hypot((i % width) - x, Math.floor(i / width) - y) < reach + 1);
    assert.ok(near || same, `pixel ${i} is far from the mask and changed`);
    far += !near;
    changed += mask[i] && !same;
  }
  assert.ok(far > 0, 'nothing is far from the mask');
  assert.ok(changed >= inside.length / 2, `${changed} of ${inside.length} pixels of the mask changed`);
}

const label = (page) => page.textContent('#go');
const pressed = (page) => page.getAttribute('#over', 'aria-pressed');

/** A picture of the page as a PNG file, by the browser itself. */
async function written(page, name, { data, width, height }) {
  const base64 = await page.evaluate(
    async ([data, width, height]) => {
      const canvas = new OffscreenCanvas(width, height);
      canvas.getContext('2d').putImageData(new ImageData(Uint8ClampedArray.from(data), width, height), 0, 0);
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
      return btoa(String.fromCharCode(...bytes));
    },
    [data, width, height],
  );
  const file = join(scratch, name);
  await writeFile(file, Buffer.from(base64, 'base64'));
  return file;
}

/** The largest difference of a byte between a picture of seed 7 and the one that the command line paints with `args`. */
async function off(page, result, picture, mask, ...args) {
  const image = await written(page, 'picture.png', picture);
  const white = mask.flatMap((on) => (on ? [255, 255, 255, 255] : [0, 0, 0, 255]));
  const over = await written(page, 'mask.png', { ...picture, data: white });
  const out = join(scratch, `painted-${Math.random()}.png`);
  const fixed = ['--model', model, '--device', 'cpu', '--preset', 'quick', '--seed', '7', '--out', out];
  await exec(firefall, ['inpaint', image, '--mask', over, 'a blue square', ...fixed, ...args]);
  const want = await decoded(page, out);
  assert.equal(result.data.length, want.length);
  return want.reduce((most, value, i) => Math.max(most, Math.abs(value - result.data[i])), 0);
}

/** A picture without origin, of `width x height` pixels of many colours. */
const colourful = (width, height) => {
  const at = (i) => [((i % width) * 7) % 256, (Math.floor(i / width) * 11) % 256, (i * 13) % 256, 255];
  return { width, height, data: Array.from({ length: width * height }, (_, i) => at(i)).flat() };
};

for (const device of ['cpu', 'webgpu']) {
  test(`what the mouse paints over changes and nothing else, as on the command line, on ${device}`, async () => {
    const { page, picture } = await atEasel({}, `?device=${device}`);
    assert.deepEqual([await label(page), await pressed(page)], ['Paint it', 'true']);
    await drag(page, [0.05, 0.05], [0.15, 0.05]);
    const mask = await painted(page);
    assert.ok(mask.some((on) => on) && !mask.every((on) => on));
    assert.match(await page.textContent('#brush-share'), /^[0-9]+ % of the picture/);
    await page.evaluate(() => {
      window.seen = [];
      const put = CanvasRenderingContext2D.prototype.putImageData;
      CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
        if (this.canvas.closest('#pictures')) window.seen.push([...image.data]);
        return put.call(this, image, ...rest);
      };
    });
    await page.fill('#seed', '7');
    assert.match((await make(page, 'a blue square')).status, /^Done in .*, seed 7\.$/);
    const result = await pixels(page);
    // The whole picture is the region, and the soft edge a tenth of it.
    const reach = GROW + picture.width / 10;
    changedThere(picture, result, mask, reach);
    const seen = await page.evaluate(() => window.seen);
    const different = new Set(seen.map(String));
    assert.ok(different.size >= 4, `${different.size} pictures were seen on the way`);
    seen.forEach((data) => changedOutside(picture, data, mask, reach));
    assert.deepEqual([await label(page), await pressed(page)], ['Make it', 'false'], 'the result is a picture as any other');

    const levels = await off(page, result, picture, mask);
    assert.ok(levels <= 2, `${levels} levels off`);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
}

/** No pixel far from the mask is another one. */
function changedOutside({ data: before, width }, after, mask, reach) {
  const inside = mask.flatMap((on, i) => (on ? [[i % width, Math.floor(i / width)]] : []));
  for (let i = 0; i < mask.length; i++) {
    const near = inside.some(([x, y]) => Math.hypot((i % width) - x, Math.floor(i / width) - y) < reach + 1);
    assert.ok(near || [0, 1, 2].every((c) => before[4 * i + c] === after[4 * i + c]), `pixel ${i}`);
  }
}

test('a finger paints, and does not scroll', async () => {
  const { page, picture } = await atEasel({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await page.locator('#brush-mask').scrollIntoViewIfNeeded();
  const { x, y, width, height } = await page.locator('#brush-mask').boundingBox();
  const scrolled = await page.evaluate(() => scrollY);
  const client = await page.context().newCDPSession(page);
  const touch = (type, ...points) =>
    client.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([px, py], id) => ({ x: x + px * width, y: y + py * height, id })) });
  await touch('touchStart', [0.1, 0.1]);
  for (const down of [0.15, 0.2, 0.3]) await touch('touchMove', [0.1, down]);
  await touch('touchStart', [0.1, 0.3], [0.9, 0.9]);
  await touch('touchEnd');
  const mask = await painted(page);
  assert.ok(mask[2 * picture.width + 1], 'where the finger was it is painted');
  assert.ok(!mask[mask.length - picture.width - 2], 'a second finger does not paint');
  assert.equal(await page.evaluate(() => scrollY), scrolled);
  assert.match((await make(page, 'a blue square')).status, /^Done/);
  changedThere(picture, await pixels(page), mask, GROW + picture.width / 10);
  await page.context().close();
});

test('an empty mask ends in a sentence, and the tools do what they say without a pointer', async () => {
  const { page } = await atEasel();
  assert.match((await make(page, 'a blue square')).trouble, /^The mask is empty; paint over what should change\.$/);
  const count = async () => (await painted(page)).filter((on) => on).length;
  const press = async (id) => {
    await page.focus(id);
    await page.keyboard.press('Enter');
  };
  const all = (await painted(page)).length;
  await press('#brush-all');
  assert.equal(await count(), all);
  await press('#brush-erase');
  await page.focus('#brush-size');
  await page.keyboard.press('End');
  await drag(page, [0.01, 0.01], [0.01, 0.01]);
  const left = await count();
  assert.ok(left > 0 && left < all, `${left} of ${all}`);
  await press('#brush-invert');
  assert.equal(await count(), all - left);
  await press('#brush-clear');
  assert.equal(await count(), 0);
  assert.match(await page.textContent('#brush-share'), /^Nothing/);
  const spent = async (id) => (await page.getAttribute(id, 'aria-disabled')) === 'true';
  assert.equal(await spent('#brush-redo'), true);
  await press('#brush-undo');
  assert.equal(await count(), all - left);
  // By the shortcut too: on the picture it is the mask's, and in the prompt it is the prompt's.
  await page.focus('#brush-size');
  await page.keyboard.press('Control+z');
  assert.equal(await count(), left);
  await page.fill('#prompt', 'a blue square');
  await page.focus('#prompt');
  await page.keyboard.press('Control+z');
  assert.equal(await count(), left);
  await press('#brush-undo');
  await press('#brush-undo');
  assert.deepEqual([await count(), await spent('#brush-undo')], [0, true]);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'brush-undo', 'who pressed it is still there');
  await page.focus('#brush-size');
  for (const many of [all, left, all - left]) {
    await page.keyboard.press('Control+Shift+z');
    assert.equal(await count(), many);
  }
  await press('#brush-erase');
  await drag(page, [0.9, 0.9], [0.9, 0.95]);
  assert.equal(await spent('#brush-redo'), true, 'a new stroke is what follows now');
  await press('#brush-clear');
  await press('#brush-more summary');
  const reached = new Set();
  await page.focus('#prompt');
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id));
  }
  const tools = ['size', 'erase', 'all', 'invert', 'clear', 'undo', 'care', 'strength', 'context', 'grow', 'feather'];
  for (const id of [...tools.map((tool) => `brush-${tool}`), 'over']) assert.ok(reached.has(id), `${id}: ${[...reached]}`);
  await page.click('#over');
  assert.deepEqual([await label(page), await page.isHidden('#brush')], ['Make it', true]);
  assert.match((await make(page, 'a blue square')).status, /^Done/, 'and whole pictures are made again');
  await page.context().close();
});

test('a run stops, and picture and mask are as they were', async () => {
  const { page, picture } = await atEasel();
  await drag(page, [0.1, 0.1], [0.2, 0.1]);
  const mask = await painted(page);
  await page.locator('#stages input').first().fill('1000');
  await page.fill('#prompt', 'a blue square');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  await page.keyboard.press('Escape');
  assert.equal((await outcome(page, 5000)).status, 'Stopped.');
  assert.deepEqual([await painted(page), await pressed(page)], [mask, 'true']);
  await page.click('#over');
  assert.deepEqual(await pixels(page), picture);
  await page.click('#over');
  await drag(page, [0.1, 0.1], [0.2, 0.1]);
  await page.click('#reset');
  assert.match((await make(page, 'a blue square')).status, /^Done/);
  await page.context().close();
});

test('less strength begins with what is there, as on the command line', async () => {
  const { page, picture } = await atEasel();
  await drag(page, [0.05, 0.05], [0.15, 0.05]);
  const mask = await painted(page);
  await page.locator('#brush-strength').fill('40');
  assert.equal(await page.textContent('#brush-strength-said'), '40 %, from what is there');
  await page.fill('#seed', '7');
  assert.match((await make(page, 'a blue square')).status, /^Done/);
  const result = await pixels(page);
  assert.ok((await off(page, result, picture, mask, '--strength', '0.4')) <= 2);
  assert.ok((await off(page, result, picture, mask)) > 2, 'another strength is another picture');
  await page.context().close();
});

test('what the model sees and how the edge goes over are as on the command line, and in the file', async () => {
  const page = await visit();
  const picture = colourful(160, 100);
  await drop(page, 'mine.png', await written(page, 'mine.png', picture));
  await page.waitForFunction(() => /mine\.png does not say/.test(document.getElementById('status').textContent));
  await page.click('#over');
  await drag(page, [0.3, 0.4], [0.35, 0.4]);
  const mask = await painted(page);
  await page.click('#brush-more summary');
  for (const [name, value] of Object.entries({ context: '3', grow: '0', feather: '0' })) await page.fill(`#brush-${name}`, value);
  await page.fill('#seed', '7');
  assert.match((await make(page, 'a blue square')).status, /^Done/);
  const result = await pixels(page);
  // With neither, what is not in the mask stays, however near it is.
  changedThere(picture, result, mask, 0);
  const hard = ['--grow', '0', '--feather', '0'];
  assert.ok((await off(page, result, picture, mask, ...hard, '--context', '3')) <= 2);
  assert.ok((await off(page, result, picture, mask, ...hard)) > 2, 'another context is another picture');
  const { context, blend } = JSON.parse((await shown(await saved(page))).settings).inpaint;
  assert.deepEqual([context, blend], [3, { grow: 0, feather: 0, match_colour: true }]);
  await page.context().close();
});

test('a field of the brush that says nothing of use is named, and shown in its fold', async () => {
  const { page } = await atEasel();
  await page.click('#brush-all');
  for (const [name, value, sentence] of [
    ['context', '9', /^“Context around the mask” must be from 0\.5 to 8\.$/],
    ['grow', '-1', /^“Grow the mask” must be from 0 to 4096\.$/],
    ['feather', '4097', /^“Feather its edge” must be from 0 to 4096\.$/],
  ]) {
    await page.evaluate(
      ([name, value]) => {
        document.getElementById('brush-more').open = false;
        document.getElementById(`brush-${name}`).value = value;
      },
      [name, value],
    );
    assert.match((await make(page, 'a blue square')).trouble, sentence);
    assert.equal(await page.evaluate(() => document.activeElement.id), `brush-${name}`);
    assert.ok(await page.isVisible(`#brush-${name}`));
    await page.fill(`#brush-${name}`, '');
  }
  assert.match((await make(page, 'a blue square')).status, /^Done/, 'empty is as usual');
  await page.context().close();
});

test('the latest prompt wins, over the same part', async () => {
  const { page, picture } = await atEasel();
  await drag(page, [0.1, 0.1], [0.2, 0.1]);
  const mask = await painted(page);
  await page.locator('#stages input').first().fill('1000');
  await page.fill('#prompt', 'a blue square');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  await page.click('#reset');
  await page.fill('#seed', '3');
  assert.match((await make(page, 'a green star')).status, /seed 3/);
  changedThere(picture, await pixels(page), mask, GROW + picture.width / 10);
  await remembered(page, 2);
  await page.context().close();
});

test('several are painted at once, one of them again and saved, and its file says so', async () => {
  const { page, picture } = await atEasel();
  await drag(page, [0.05, 0.05], [0.15, 0.05]);
  const mask = await painted(page);
  const reach = GROW + picture.width / 10;
  await page.fill('#count', '3');
  await page.fill('#seed', '4');
  assert.match((await make(page, 'a blue square')).status, /seeds 4 to 6/);
  const all = [await pixels(page, 0), await pixels(page, 1), await pixels(page, 2)];
  all.forEach((one) => changedThere(picture, one, mask, reach));
  assert.equal(new Set(all.map(({ data }) => String(data))).size, 3);

  await page.locator('#pictures canvas').nth(2).click();
  await page.click('#over');
  assert.deepEqual(await painted(page), mask, 'the mask is kept for another prompt');
  await page.fill('#count', '1');
  await page.selectOption('#brush-care', 'balanced');
  assert.match((await make(page, 'a green star')).status, /^Done/);
  changedThere(all[2], await pixels(page), mask, reach);

  const file = await saved(page);
  const settings = JSON.parse((await shown(file)).settings);
  assert.deepEqual(settings.inpaint, {
    resampling: { jump: 4, repeats: 3 },
    strength: 1,
    context: 1,
    blend: { grow: null, feather: null, match_colour: true },
  });

  const before = await pixels(page);
  await page.click('#again');
  assert.match((await outcome(page)).status, /^Done/);
  const other = await pixels(page);
  changedThere(all[2], other, mask, reach);
  assert.notDeepEqual(other, before, 'another seed paints the same part again');

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.click('#share');
  await page.waitForFunction(() => /link is .*prompt and settings/.test(document.getElementById('status').textContent));

  await drop(page, 'saved.png', file);
  await page.waitForFunction(() => /settings of saved\.png.*painted over another/.test(document.getElementById('status').textContent));
  assert.equal(await page.inputValue('#prompt'), 'a green star');
  assert.deepEqual(await pixels(page), before);
  await page.context().close();
});

test('a picture from elsewhere is painted over, whatever its shape', async () => {
  const page = await visit();
  for (const [width, height] of [[300, 120], [90, 200]]) {
    const picture = colourful(width, height);
    await drop(page, 'mine.png', await written(page, `mine-${width}.png`, picture));
    await page.waitForFunction(() => /mine\.png does not say/.test(document.getElementById('status').textContent));
    assert.deepEqual(await pixels(page), picture);
    assert.ok(await page.isHidden('#save'));
    await page.click('#over');
    await drag(page, [0.1, 0.1], [0.15, 0.1]);
    const mask = await painted(page);
    assert.match((await make(page, 'a blue square')).status, /^Done/);
    changedThere(picture, await pixels(page), mask);
    assert.ok(await page.isVisible('#save'));
  }
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${over} pixels too wide`);
  await page.context().close();
});

test('a worker that dies while it paints is replaced, and the part is painted all the same', async () => {
  let left = 1;
  server.fault = async (file, response, body) => {
    if (!file.endsWith('/worker.js') || left-- <= 0) return false;
    response.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'no-store' });
    response.end(`${dies('denoising', 8)}\n${body}`);
    return true;
  };
  // Its first picture takes six steps.
  const { page, picture } = await atEasel({ serviceWorkers: 'block' });
  await drag(page, [0.05, 0.05], [0.15, 0.05]);
  const mask = await painted(page);
  assert.match((await make(page, 'a blue square')).status, /^Done/);
  assert.ok(left < 0, 'a second worker was started');
  changedThere(picture, await pixels(page), mask, GROW + picture.width / 10);
  server.fault = null;
  await page.context().close();
});

test('the program says what it cannot paint', async () => {
  const page = await visit();
  const said = await page.evaluate(async () => {
    const source = document.querySelector('script[type=module]').src;
    const { FirefallClient } = await import(new URL('firefall/index.js', source));
    const client = new FirefallClient({
      assets: new URL('firefall/', source),
      model: new URL('../model/', source),
      device: 'cpu',
    });
    const said = {};
    const image = new ImageData(20, 10);
    const whole = { image, mask: new Uint8Array(200).fill(255) };
    for (const [name, paint] of Object.entries({
      empty: { ...whole, mask: new Uint8Array(200).fill(127) },
      short: { ...whole, mask: new Uint8Array(199) },
      large: { image: new ImageData(4097, 1), mask: new Uint8Array(4097).fill(255) },
      preset: { ...whole, preset: 'hasty' },
      context: { ...whole, context: 9 },
      grow: { ...whole, grow: -1 },
      feather: { ...whole, feather: 5000 },
      good: { ...whole, strength: 0.5 },
      white: { ...whole, mask: new ImageData(new Uint8ClampedArray(800).fill(255), 20, 10) },
    })) {
      const result = await client.generate({ prompt: 'a', paint }).promise;
      said[name] = result.ok ? [result.images[0].width, result.images[0].height, result.settings.inpaint.strength] : [result.reason, result.message];
    }
    await client.unload();
    return said;
  });
  const refused = (message) => ['unsupported_option', message];
  assert.deepEqual(said, {
    empty: refused('The mask is empty; paint over what should change.'),
    short: refused('The mask has 199 bytes; one for a picture of 20 x 10 has one a pixel.'),
    large: refused('The picture has 4097 x 1 pixels; a picture to paint in has from 1 to 4096 a side.'),
    preset: refused('No preset is called "hasty"; there are quick, balanced, thorough.'),
    context: refused('Context is 9; it must be from 0.5 to 8.'),
    grow: refused('Grow is -1; it must be from 0 to 4096.'),
    feather: refused('Feather is 5000; it must be from 0 to 4096.'),
    good: [20, 10, 0.5],
    white: [20, 10, 1],
  });
  await page.context().close();
});
