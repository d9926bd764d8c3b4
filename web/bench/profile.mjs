// Where a step of the base network goes on the CPU of one Chromium, by its profiler.
//
// `cargo xtask bench profile` calls it with the folder of a package whose program has the names of its functions. Prints a
// row per function as JSON: { what, ours, other, ratio }, the milliseconds of a step that it takes itself, those of the
// whole step, and its share.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { launch } from '../tests/browser.mjs';
import { serve } from '../tests/server.mjs';

const STEPS = 400;
/** Shares below this are told together. */
const LEAST = 0.01;
const MICROSECONDS = 200;

const server = await serve(process.argv[2], { mounts: { '/bench/': dirname(fileURLToPath(import.meta.url)) } });
const browser = await launch();
const page = await (await browser.newContext()).newPage();
await page.goto(`${server.url}bench/bench.html`);
await page.waitForFunction(() => window.here);

/** The worker of the page, by the protocol of the developer tools. */
async function worker() {
  const session = await page.context().newCDPSession(page);
  const attached = new Promise((resolve) => session.once('Target.attachedToTarget', ({ sessionId }) => resolve(sessionId)));
  await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const sessionId = await attached;
  const answers = new Map();
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, result } = JSON.parse(message);
    answers.get(id)?.(result);
  });
  return async (method, params = {}) => {
    const id = answers.size + 1;
    const answer = new Promise((resolve) => answers.set(id, resolve));
    await session.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method, params }) });
    return answer;
  };
}

await page.evaluate(() => window.ours('cpu'));
// Compiles, and fills pools.
await page.evaluate((steps) => window.run(steps), STEPS);
const send = await worker();
await send('Profiler.enable');
await send('Profiler.setSamplingInterval', { interval: MICROSECONDS });
await send('Profiler.start');
const times = await page.evaluate((steps) => window.run(steps), STEPS);
const { profile } = await send('Profiler.stop');

const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame.functionName || '(without a name)']));
const own = new Map();
profile.samples.forEach((id, i) => own.set(names.get(id), (own.get(names.get(id)) ?? 0) + profile.timeDeltas[i]));
// What runs between the steps is as good as nothing; waiting is not work.
for (const name of ['(idle)', '(program)', '(root)']) own.delete(name);
const all = [...own.values()].reduce((sum, time) => sum + time);
const step = times.reduce((sum, time) => sum + time) / times.length;
const told = [...own].map(([what, time]) => ({ what: what.replace(/::h[0-9a-f]{16}$/, ''), ratio: time / all })).sort((a, b) => b.ratio - a.ratio);
const few = told.filter(({ ratio }) => ratio >= LEAST);
const rest = told.slice(few.length);
few.push({ what: `${rest.length} others`, ratio: rest.reduce((sum, { ratio }) => sum + ratio, 0) });
for (const { what, ratio } of few) console.log(JSON.stringify({ what, ours: ratio * step, other: step, ratio }));

await browser.close();
await server.close();
