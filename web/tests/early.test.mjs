// What a visitor sees and may do before the page's program and its weights have come, or where they never come.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { outcome, ready } from './browser.mjs';
import { browser, heal, server, trouble, visit } from './faulty.mjs';
import { saved, shown } from './files.mjs';

const LINK = '?device=cpu#v=1&prompt=a%20blue%20star&negative=gray&seed=9&count=2&steps=4&stages=1';

/** A promise that is kept when `release` is called. */
function later() {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  return { held, release };
}

/** A fault: files of this ending wait. */
const waiting = (ending, held) => async (file) => {
  if (file.endsWith(ending)) await held;
  return false;
};

const device = (page) => page.textContent('#device');
const values = (page, ...ids) => Promise.all(ids.map((id) => page.inputValue(`#${id}`)));

/** Enters a prompt where nothing hears it: it stays, and the host is not told. */
async function unheard(page) {
  const url = page.url();
  await page.fill('#prompt', 'a red star');
  await page.press('#prompt', 'Enter');
  await page.waitForTimeout(500);
  assert.equal(page.url(), url);
  assert.equal(await page.inputValue('#prompt'), 'a red star');
  assert.equal(server.log.filter((path) => path === '/').length, 1);
}

test('a prompt that is entered before the page can hear it stays', async () => {
  const { held, release } = later();
  server.log.length = 0;
  server.fault = waiting('/main.js', held);
  const page = await (await browser.newContext({ serviceWorkers: 'block' })).newPage();
  await page.goto(server.url + LINK, { waitUntil: 'commit' });
  await unheard(page);
  assert.equal(await device(page), 'Loading… If this stays, reload the page.');
  release();
  await ready(page);
  heal();
  assert.deepEqual(await values(page, 'prompt', 'seed'), ['a red star', '9']);
  assert.match(await device(page), /CPU/);
  await page.context().close();
});

test('a prompt that is entered without JavaScript stays', async () => {
  const page = await visit({ options: { javaScriptEnabled: false } });
  await unheard(page);
  heal();
  await page.context().close();
});

test('a page of which a module does not come says what helps', async () => {
  const page = await visit({ fault: async (file, response) => file.endsWith('/share.js') && (response.writeHead(404).end(), true) });
  assert.equal(await device(page), 'Loading… If this stays, reload the page.');
  heal();
  await page.reload();
  await ready(page);
  assert.match(await device(page), /CPU/);
  await page.context().close();
});

test('a page whose weights are on their way does not ask to be reloaded', async () => {
  const { held, release } = later();
  const page = await visit({ fault: waiting('.bin', held) });
  assert.equal(await device(page), 'Loading…');
  release();
  await ready(page);
  heal();
  await page.context().close();
});

test('a link is in the form before the weights are there, and what is changed meanwhile stays', async () => {
  const { held, release } = later();
  const page = await visit({ fault: waiting('.bin', held), path: LINK });
  const texts = () => values(page, 'prompt', 'negative', 'seed', 'count');
  assert.deepEqual(await texts(), ['a blue star', 'gray', '9', '2']);
  await page.click('#settings summary');
  await page.fill('#prompt', 'a red circle');
  await page.fill('#seed', '10');
  release();
  await ready(page);
  heal();
  assert.deepEqual(await texts(), ['a red circle', 'gray', '10', '2']);
  assert.equal(await page.inputValue('#size'), '1');
  assert.equal(await page.locator('#stages input').first().inputValue(), '4');
  assert.ok(await page.isHidden('#trouble'));
  await page.context().close();
});

test('a link is in the form also where the load fails', async () => {
  const page = await visit({
    fault: async (file, response) => file.endsWith('manifest.json') && (response.writeHead(404).end(), true),
    path: LINK,
  });
  assert.match(await trouble(page), /list of weights/);
  assert.deepEqual(await values(page, 'prompt', 'negative', 'seed', 'count'), ['a blue star', 'gray', '9', '2']);
  heal();
  await page.context().close();
});

test('a picture of a link that is asked for before the weights are there is made as the link says', async () => {
  const { held, release } = later();
  const page = await visit({ fault: waiting('.bin', held), path: LINK.replace('&count=2', '') });
  await page.press('#prompt', 'Enter');
  release();
  const { status, trouble } = await outcome(page);
  heal();
  assert.match(status, /^Done in .*, seed 9\.$/, trouble);
  const { stages } = JSON.parse((await shown(await saved(page))).settings);
  assert.deepEqual(stages.map(({ steps }) => steps), [4]);
  await page.context().close();
});
