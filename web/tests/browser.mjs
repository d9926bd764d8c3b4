// One browser for all tests: Debian's Chromium, WebGPU by SwiftShader.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

export async function launch({ webgpu = true } = {}) {
  const executablePath = process.env.CHROMIUM ?? PROGRAMS.find(existsSync);
  if (!executablePath) throw new Error('no Chromium; on Debian: sudo apt-get install chromium, or name one in $CHROMIUM');
  const args = ['--no-sandbox', ...(webgpu ? WEBGPU : ['--disable-features=WebGPU'])];
  return chromium.launch({ executablePath, args });
}

/** A page of its own, with everything it complains of in `page.complaints`. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  await page.goto(url);
  return page;
}

/** The button of a name. */
export const button = (page, name) => page.getByRole('button', { name, exact: true });

/** Waits until the page has its weights. */
export const ready = (page) => page.waitForFunction(() => /Ready|not keep/.test(document.getElementById('status').textContent), null, { timeout: 120_000 });

/** Types a prompt, and waits for its picture or a sentence of what went wrong. */
export async function make(page, prompt, { timeout = 240_000 } = {}) {
  await page.fill('#prompt', prompt);
  await page.press('#prompt', 'Enter');
  return outcome(page, timeout);
}

/** Waits until the history has so many pictures: their thumbnails come after the picture. */
export async function remembered(page, count) {
  await page.waitForFunction((count) => document.querySelectorAll('#history li').length === count, count, { timeout: 10_000 });
}

export async function outcome(page, timeout = 240_000) {
  await page.waitForFunction(
    () => document.getElementById('stop').hidden && (/^Done|Stopped/.test(document.getElementById('status').textContent) || !document.getElementById('trouble').hidden),
    null,
    { timeout },
  );
  return page.evaluate(() => ({
    status: document.getElementById('status').textContent,
    trouble: document.getElementById('trouble').hidden ? '' : document.getElementById('trouble').textContent,
  }));
}

/** Waits until `ask` says yes; waitForFunction takes the promise of an answer for a yes. */
export async function until(ask, timeout = 60_000) {
  const end = Date.now() + timeout;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`it never came to be: ${ask}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The bytes of a picture on the page, four a pixel. */
export const pixels = (page, index = 0) =>
  page.evaluate((index) => {
    const canvas = document.querySelectorAll('#pictures canvas')[index];
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return { data: [...data], width, height };
  }, index);
