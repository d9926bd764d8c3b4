// The built folder below a path of its host, as project pages and intranets have it, and beside another one.

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { button, launch, make, open, outcome, pixels, ready, until } from './browser.mjs';
import { newer, serve, versionOf, NEXT } from './server.mjs';

const { FIREFALL_DIST: dist } = process.env;
const DEEP = '/some/deep/path/';

let server;
let browser;
before(async () => {
  // At the root there is nothing: what is asked for there is not found.
  const empty = await mkdtemp(join(tmpdir(), 'firefall-'));
  [server, browser] = [await serve(empty, { mounts: { [DEEP]: dist, '/other/': dist } }), await launch()];
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const at = (folder) => `${server.url.slice(0, -1)}${folder}`;
const installed = (page) => page.evaluate(async () => (await navigator.serviceWorker.ready).scope);

async function visit(folder, options) {
  const page = await open(browser, `${at(folder)}?device=cpu`, options);
  await ready(page);
  return page;
}

/** A picture of seed 7. */
async function circle(page) {
  await page.evaluate(() => (document.getElementById('settings').open = true));
  await page.fill('#seed', '7');
  const { status, trouble } = await make(page, 'a red circle');
  assert.match(status, /^Done in .*, seed 7\.$/, trouble);
  return pixels(page);
}

test('below a path the page asks for nothing beyond it, and makes the same picture', async () => {
  const missing = [];
  server.fault = async (path, response, body) => (body || missing.push(path), false);
  server.log.length = 0;
  const page = await visit(DEEP);
  const deep = await circle(page);
  assert.equal(await installed(page), at(DEEP));
  const asked = [...server.log];
  server.fault = null;
  assert.deepEqual(missing, []);
  assert.deepEqual(asked.filter((path) => !path.startsWith(DEEP)), []);
  for (const file of [/\/main\.js$/, /\/firefall\/worker\.js$/, /\.wasm$/, /\/model\/manifest\.json$/, /\/model\/[0-9a-f]{64}\.bin$/, /\/sw\.js$/]) {
    assert.ok(asked.some((path) => file.test(path)), `${file}: ${asked.join(' ')}`);
  }
  assert.deepEqual(page.complaints, []);
  await page.context().close();

  const root = await serve(dist);
  const other = await open(browser, `${root.url}?device=cpu`);
  await ready(other);
  assert.deepEqual(await circle(other), deep);
  await other.context().close();
  await root.close();
});

test('below a path the page works without a network after one visit', async () => {
  const page = await visit(DEEP);
  await installed(page);
  await page.context().setOffline(true);
  server.log.length = 0;
  await page.reload();
  await ready(page);
  await circle(page);
  await page.goto(`${at(DEEP)}index.html?device=cpu`);
  await ready(page);
  assert.deepEqual(server.log, []);
  await page.context().close();
});

test('below a path a link leads back to it, and to the picture', async () => {
  const page = await visit(DEEP);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const picture = await circle(page);
  await button(page, 'Copy link').click();
  await page.waitForFunction(() => /link is copied/.test(document.getElementById('status').textContent));
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(link.startsWith(`${at(DEEP)}?device=cpu#v=1&prompt=a%20red%20circle&seed=7`), link);
  const other = await open(browser, link);
  await ready(other);
  assert.equal(await other.inputValue('#prompt'), 'a red circle');
  await other.press('#prompt', 'Enter');
  assert.match((await outcome(other)).status, /^Done in .*, seed 7\.$/);
  assert.deepEqual(await pixels(other), picture);
  await page.context().close();
  await other.context().close();
});

test('weights that are removed in one folder stay in the other folder of the host', async () => {
  const page = await visit(DEEP);
  const other = await page.context().newPage();
  await other.goto(`${at('/other/')}?device=cpu`);
  await ready(other);
  const kept = (folder) =>
    other.evaluate(async (start) => {
      const keys = await (await caches.open('firefall-weights')).keys();
      return keys.filter(({ url }) => url.startsWith(start)).length;
    }, at(folder));
  const before = await kept('/other/');
  assert.ok(before > 0);
  assert.equal(await kept(DEEP), before);
  await page.click('#forget');
  await until(async () => (await kept(DEEP)) === 0);
  assert.equal(await kept('/other/'), before);
  await page.context().close();
});

test('a new version in one folder takes the place of its old one, and leaves the other folder of the host alone', async () => {
  const page = await visit(DEEP);
  await installed(page);
  const other = await page.context().newPage();
  await other.goto(`${at('/other/')}?device=cpu`);
  await ready(other);
  await installed(other);
  const old = await versionOf(other);
  const keeps = (folder, version) =>
    other.evaluate(async (file) => Boolean(await caches.match(file)), `${at(folder)}${version}/main.js`);
  assert.deepEqual([await keeps(DEEP, old), await keeps('/other/', old)], [true, true]);

  server.fault = newer(dist, old, '/other/');
  await other.reload();
  await ready(other);
  assert.equal(await versionOf(other), NEXT);
  await until(() => keeps('/other/', NEXT));
  await until(async () => !(await keeps('/other/', old)));
  server.fault = null;
  assert.equal(await keeps(DEEP, old), true);

  await page.context().setOffline(true);
  server.log.length = 0;
  await page.reload();
  await ready(page);
  await circle(page);
  assert.deepEqual(server.log, []);
  await page.context().close();
});
