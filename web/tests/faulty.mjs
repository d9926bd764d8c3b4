// A server and a browser for a file of tests, each its own where this is imported, and pages with faults on the way to them.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { launch, make, open } from './browser.mjs';
import { serve } from './server.mjs';

/** The folder to serve, from `cargo xtask test`. */
export const { FIREFALL_DIST: dist } = process.env;

export let server;
export let browser;
before(async () => {
  [server, browser] = [await serve(dist), await launch()];
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** A page whose server does `fault`, and whose worker runs `injected` first; with `times`, only so many workers do. */
export async function visit({ fault, injected, times = Infinity, path = '?device=cpu', options } = {}) {
  let left = times;
  server.log.length = 0;
  server.fault = async (file, response, body, request) => {
    if (injected && file.endsWith('/worker.js') && left-- > 0) {
      response.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'no-store' });
      response.end(`${injected}\n${body}`);
      return true;
    }
    return (await fault?.(file, response, body, request)) ?? false;
  };
  return open(browser, server.url + path, { serviceWorkers: 'block', ...options });
}

/** From now on the server is well. */
export const heal = () => (server.fault = null);

/** The workers that the page of the last visit has started so far. */
export const workers = () => server.log.filter((file) => file.endsWith('/worker.js')).length;

/** What the page says went wrong, as soon as it does. */
export const trouble = (page) =>
  page.waitForSelector('#trouble:not([hidden])', { timeout: 120_000 }).then((box) => box.textContent());

/** Remembers all that the page's status line says from now on; the answer asks for it. */
export async function listen(page) {
  await page.evaluate(() => {
    const line = document.getElementById('status');
    const said = [];
    window.said = said;
    new MutationObserver(() => said.push(line.textContent)).observe(line, { childList: true, characterData: true, subtree: true });
  });
  return () => page.evaluate(() => window.said.join('\n'));
}

/** The page makes a picture now. */
export async function works(page) {
  const { status, trouble } = await make(page, 'a red circle');
  assert.match(status, /^Done in/, trouble);
  await page.context().close();
}
