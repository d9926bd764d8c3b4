// The page in Firefox, where there is one: on the CPU, as its ESR has no WebGPU.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

import puppeteer from 'puppeteer-core';

import { serve } from './server.mjs';

const program = process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync);

test('W27 Firefox makes a picture', { skip: !program && 'no Firefox; on Debian: sudo apt-get install firefox-esr' }, async () => {
  const server = await serve(process.env.FIREFALL_DIST);
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath: program, headless: true });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(server.url);
    await page.type('#prompt', 'a red circle');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => /^Done/.test(document.getElementById('status').textContent), { timeout: 240_000 });
    const colours = await page.$eval('#pictures canvas', (canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });
    assert.ok(colours > 10, `${colours} colours`);
    assert.match(await page.$eval('#device', (line) => line.textContent), /^On the CPU, because/);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
    await server.close();
  }
});
