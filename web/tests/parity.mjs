// The ops in Chromium: each test of `shaders/tests/parity` that a browser can run, in a page of its own.
//
// `cargo xtask parity` calls it with the folder of the program that `shaders/examples/browser.rs` is.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { launch, open } from './browser.mjs';
import { serve } from './server.mjs';

const [program] = process.argv.slice(2);
/** Of one test, in milliseconds: SwiftShader takes long. */
const LIMIT = 600_000;

const page = join(dirname(fileURLToPath(import.meta.url)), 'parity.html');
const server = await serve(program, { mounts: { '/parity.html': page } });
const browser = await launch();

/** A page with the program, and everything it says in `said`. */
async function opened() {
  const tab = await open(browser, 'about:blank');
  tab.said = [];
  tab.on('console', (message) => tab.said.push(message.text()));
  await tab.goto(`${server.url}parity.html`);
  const here = tab.waitForFunction(() => window.here, null, { timeout: 120_000 });
  await here.catch((error) => {
    throw new Error([String(error), ...tab.said, ...tab.complaints].join('\n'));
  });
  return tab;
}

/** What became of a test: nothing where it passed, else what there is to read. */
async function trouble(tab, test) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, LIMIT, `it takes longer than ${LIMIT / 1000} s`);
  });
  const ended = new Promise((resolve) => {
    tab.on('pageerror', (error) => resolve(`the program ended: ${error}`));
    tab.on('crash', () => resolve('the page crashed'));
  });
  const checked = tab.evaluate((test) => window.check(test), test).then((passed) => (passed ? '' : 'it failed'), String);
  const reason = await Promise.race([checked, ended, late]);
  clearTimeout(timer);
  if (!reason) return null;
  const output = await Promise.race([tab.textContent('#output').catch(String), new Promise((resolve) => setTimeout(resolve, 5000, ''))]);
  return [reason, output, ...tab.said].join('\n');
}

const first = await opened();
const tests = await first.evaluate(() => window.tests());
await first.context().close();
if (!tests.length) throw new Error(`no test is in ${program}`);

let failed = false;
for (const test of tests) {
  const name = test.replace(/^__wbgt_\$?_browser::parity::browser::/, '');
  const tab = await opened();
  const start = Date.now();
  const wrong = await trouble(tab, test);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(`test ${name} in Chromium ... ${wrong ? 'FAILED' : 'ok'} (${seconds} s)`);
  if (wrong) {
    console.log(wrong);
    failed = true;
  }
  await tab.context().close();
}
await browser.close();
await server.close();
process.exitCode = failed ? 1 : 0;
