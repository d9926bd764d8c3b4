// Files that are opened on the page, of this program and of others, and what goes wrong with them.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { test } from 'node:test';

import { ready } from './browser.mjs';
import { heal, listen, trouble, visit } from './faulty.mjs';
import { drop, noted } from './files.mjs';

const STAR = { prompt: 'a red star', seed: '5', settings: '{"stages":[{"size":32,"steps":4}]}' };

const told = (page, words) => page.getByRole('status').filter({ hasText: words }).first().waitFor();
const picture = (page, name) => page.getByRole('img', { name, exact: true });
/** Prompt, seed, size, and the steps of the first stage. */
const form = async (page) => [
  ...(await Promise.all(['prompt', 'seed', 'size'].map((id) => page.inputValue(`#${id}`)))),
  await page.locator('#stages input').first().inputValue(),
];

test('a picture of another program brings what it says, and leaves the size alone', async () => {
  const page = await visit();
  await ready(page);
  heal();
  const whole = await page.inputValue('#size');
  assert.notEqual(whole, '1');
  const parameters = 'a red star\nabove a ring\nSteps: 4, Sampler: DDIM, CFG scale: 2, Seed: 5, Size: 64x64';
  await drop(page, 'other.png', await noted({ parameters }));
  await told(page, 'The settings of other.png are in the form.');
  assert.deepEqual(await form(page), ['a red star above a ring', '5', whole, '4']);
  assert.equal(await page.locator('#stages select').first().inputValue(), 'ddim');
  await drop(page, 'star.png', await noted(STAR));
  await told(page, 'The settings of star.png are in the form.');
  assert.deepEqual(await form(page), ['a red star', '5', '1', '4'], 'one that names the size of each stage ends with its last');
  await page.context().close();
});

test('settings that are neither numbers nor texts are as the model has them, and that is told', async () => {
  const page = await visit();
  await ready(page);
  heal();
  const before = await form(page);
  const settings = '{"stages":[{"steps":{"toString":1},"cond_scale":[2],"sampler":{"toString":1},"size":{"toString":1}},null]}';
  await drop(page, 'odd.png', await noted({ ...STAR, settings }));
  await told(page, 'The settings of odd.png are in the form. Some of its settings cannot be used here');
  assert.deepEqual(await form(page), ['a red star', '5', ...before.slice(2)]);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('a file that is no longer where it was is told', async () => {
  const page = await visit();
  await ready(page);
  heal();
  const file = await noted(STAR);
  await page.evaluate(() => document.body.append(Object.assign(document.createElement('input'), { type: 'file', id: 'own' })));
  await page.setInputFiles('#own', file);
  await rm(file);
  const dataTransfer = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    data.items.add(document.getElementById('own').files[0]);
    return data;
  });
  await page.dispatchEvent('main', 'drop', { dataTransfer });
  assert.match(await trouble(page), /\.png: It could not be read\. It may be a folder, or no longer be where it was; open it again\.$/);
  assert.deepEqual(page.complaints, []);
  await drop(page, 'star.png', await noted(STAR));
  await told(page, 'The settings of star.png are in the form.');
  await page.context().close();
});

test('a picture is shown where the program is missing that reads how it was made, and that is told', async () => {
  const page = await visit({ fault: async (file, response) => file.endsWith('.wasm') && (response.writeHead(404).end(), true) });
  await trouble(page);
  await drop(page, 'star.png', await noted(STAR));
  await page.getByRole('alert').filter({ hasText: /^star\.png: The program could not be loaded/ }).waitFor();
  assert.ok(await picture(page, 'star.png').isVisible());
  assert.doesNotMatch(await page.textContent('#status'), /does not say/);
  heal();
  await page.click('#trouble button');
  await told(page, 'The settings of star.png are in the form.');
  assert.deepEqual(await form(page), ['a red star', '5', '1', '4']);
  await page.context().close();
});

test('settings of a file are in the form when the load that failed is tried again, and not before', async () => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const page = await visit({
    fault: async (file, response) => file.endsWith('manifest.json') && (await held, response.writeHead(404).end(), true),
  });
  const said = await listen(page);
  await drop(page, 'star.png', await noted(STAR));
  await picture(page, 'star.png').waitFor();
  release();
  assert.match(await trouble(page), /list of weights/);
  assert.doesNotMatch(await said(), /in the form/);
  assert.equal(await page.inputValue('#prompt'), '');
  heal();
  await page.click('#trouble button');
  await told(page, 'The settings of star.png are in the form.');
  assert.deepEqual(await form(page), ['a red star', '5', '1', '4']);
  await page.context().close();
});
