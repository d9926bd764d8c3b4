// What goes wrong on the way and on the page, one by one: each ends in a sentence for the user and a page that still works.
// The numbers are those of the list of faults that a web demo must survive; those of devices and workers are in device.test.mjs.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { make, open, outcome, ready, until } from './browser.mjs';
import { browser, dist, heal, server, trouble, visit, workers, works } from './faulty.mjs';
import { without } from './injections.mjs';
import { asNext, newer, serve, versionOf, NEXT } from './server.mjs';

const chunk = (file) => /\/model\/[0-9a-f]{64}\.bin$/.test(file);

/** Answers to the first chunk, or other file, `times` times; then the server is well again. */
const badly = (times, answer, which = chunk) => {
  let left = times;
  return async (file, response, body, request) => {
    if (!which(file) || left-- <= 0) return false;
    await answer(response, body, request);
    return true;
  };
};

const end = (status, text, headers = {}) => async (response) => void response.writeHead(status, headers).end(text);

/** W14: what a server or a network does once is healed without a word. */
const HEALED = {
  'a server error': end(503, 'busy'),
  'an HTML page in place of a chunk': end(200, '<!doctype html><title>Sign in</title>', { 'content-type': 'text/html' }),
  'a chunk with a wrong byte': async (response, body) => {
    const bad = Buffer.from(body);
    bad[bad.length >> 1] ^= 1;
    response.writeHead(200).end(bad);
  },
  'a chunk of zeros': async (response, body) => void response.writeHead(200).end(Buffer.alloc(body.length)),
  'a chunk that is cut off': async (response, body) => void response.writeHead(200).end(body.subarray(0, 1000)),
  'a connection that breaks': async (response, body) => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 1000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    response.destroy();
  },
  'a compressed chunk that is cut off': async (response, body) => {
    const whole = gzipSync(body);
    const half = whole.subarray(0, whole.length >> 1);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': half.length }).end(half);
  },
};
for (const [name, answer] of Object.entries(HEALED)) {
  test(`W14 ${name} is fetched again`, async () => {
    const page = await visit({ fault: badly(1, answer) });
    await ready(page);
    heal();
    await works(page);
  });
}

const program = (file) => file.endsWith('.wasm');
for (const name of ['a server error', 'an HTML page in place of a chunk', 'a chunk that is cut off']) {
  test(`W14 the program is fetched again after ${name}`, async () => {
    const page = await visit({ fault: badly(1, HEALED[name], program) });
    await ready(page);
    heal();
    await works(page);
  });
}

/** Presses the button to try again, and says where the focus is then. */
const pressed = (page) =>
  page.evaluate(() => {
    const button = document.querySelector('#trouble button');
    button.focus();
    button.click();
    return document.activeElement.id;
  });

test('W14 a program that is missing is told, and can be tried again', async () => {
  const page = await visit({ fault: badly(Infinity, end(404, 'not found'), program) });
  assert.match(await trouble(page), /^The program could not be loaded: the server answered 404\. Try again\./);
  heal();
  assert.equal(await pressed(page), 'prompt');
  await ready(page);
  await works(page);
});

test('W14 a prompt of which the load fails can be tried again', async () => {
  let asked;
  const typed = new Promise((resolve) => (asked = resolve));
  const page = await visit({ fault: badly(Infinity, async (response) => (await typed, response.writeHead(404).end())) });
  await page.fill('#prompt', 'a red circle');
  await page.press('#prompt', 'Enter');
  asked();
  assert.match(await trouble(page), /part of the weights could not be loaded/);
  heal();
  assert.equal(await pressed(page), 'stop');
  const { status, trouble: said } = await outcome(page);
  assert.match(status, /^Done/, said);
  await page.context().close();
});

/** W14: what a server does every time is told, and a button tries again. */
const TOLD = {
  'a chunk that is missing': end(404, 'not found'),
  'a server that is down': end(500, 'broken'),
  'a chunk that is always wrong': async (response, body) => void response.writeHead(200).end(Buffer.alloc(body.length)),
  'a chunk that is always longer': async (response, body) => void response.writeHead(200).end(Buffer.concat([body, body])),
  'a redirection that goes round': async (response, body, { url }) => void response.writeHead(302, { location: url }).end(),
};
for (const [name, answer] of Object.entries(TOLD)) {
  test(`W14 ${name} is told, and can be tried again`, async () => {
    const page = await visit({ fault: badly(Infinity, answer) });
    assert.match(await trouble(page), /part of the weights could not be loaded: .*Try again/);
    heal();
    await page.click('#trouble button');
    await ready(page);
    await works(page);
  });
}

/** How many chunks the model has. */
const chunks = async () => JSON.parse(await readFile(`${dist}/model/manifest.json`, 'utf8')).files.flatMap((file) => file.chunks).length;

test('W14 a manifest that is no manifest is told', async () => {
  for (const text of ['<!doctype html>', '{"format":2}', '{"format":1,"hash":"x","files":[]}', '[]', '']) {
    const page = await visit({
      fault: async (file, response) => file.endsWith('manifest.json') && (response.writeHead(200).end(text), true),
    });
    assert.match(await trouble(page), /list of weights/);
    await page.context().close();
  }
});

test('W14 a host may compress everything, and be slow', async () => {
  const page = await visit({
    fault: async (file, response, body) => {
      if (!chunk(file) && !program(file)) return false;
      const small = gzipSync(body, { level: 1 });
      const type = program(file) ? 'application/wasm' : 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip', 'content-length': small.length });
      for (let at = 0; at < 5; at++) {
        response.write(small.subarray((at * small.length) / 5, ((at + 1) * small.length) / 5));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      response.end();
      return true;
    },
  });
  await ready(page);
  await works(page);
});

test('W14 weights of another host are loaded where it lets other pages read them, and else that is told', async () => {
  const page = await visit();
  await ready(page);
  const load = (host) =>
    page.evaluate(async (model) => {
      const folder = [...document.scripts].find(({ src }) => src.endsWith('main.js')).src;
      const { FirefallClient } = await import(new URL('firefall/index.js', folder));
      const client = new FirefallClient({ model, device: 'cpu' });
      const { ok, reason, message } = await client.load();
      await client.unload();
      return { ok, reason, message };
    }, `${host.url}model/`);
  const [closed, free] = [await serve(dist), await serve(dist, { headers: { 'access-control-allow-origin': '*' } })];
  const refused = await load(closed);
  assert.equal(refused.reason, 'download_failed');
  assert.match(refused.message, /^The list of weights could not be loaded: the connection failed .*Try again\.$/);
  assert.equal((await load(free)).ok, true);
  await Promise.all([closed.close(), free.close()]);
  await works(page);
});

test('W14 new weights of which a part is missing leave those of the last visit, and that is told', async () => {
  const page = await visit();
  await ready(page);
  const missing = 'f'.repeat(64);
  const next = JSON.stringify({ format: 1, hash: missing, files: [{ name: 'model.json', chunks: [{ sha256: missing, bytes: 5 }] }] });
  server.fault = async (file, response) => file.endsWith('manifest.json') && (response.writeHead(200).end(next), true);
  const loaded = await page.evaluate(async () => {
    const folder = [...document.scripts].find(({ src }) => src.endsWith('main.js')).src;
    const { FirefallClient } = await import(new URL('firefall/index.js', folder));
    const client = new FirefallClient({ model: new URL('model/', location.href.split('?')[0]), device: 'cpu' });
    const warnings = [];
    const { ok, stored } = await client.load(({ phase, message }) => phase === 'warning' && warnings.push(message));
    await client.unload();
    return { ok, stored, warnings };
  });
  assert.deepEqual([loaded.ok, loaded.stored, loaded.warnings.length], [true, true, 1]);
  assert.match(loaded.warnings[0], /^The weights of the last visit are used, .* the server answered 404/);
  heal();
  await works(page);
});

test('W14 only what is missing is loaded after a break', async () => {
  let served = 0;
  const page = await visit({ fault: async (file, response) => chunk(file) && ++served > 2 && (response.writeHead(404).end(), true) });
  await trouble(page);
  heal();
  server.log.length = 0;
  await page.click('#trouble button');
  await ready(page);
  assert.equal(server.log.filter(chunk).length, (await chunks()) - 2);
  await works(page);
});

test('W15 a tab that is closed while it loads leaves what came to the next one', async () => {
  let served = 0;
  // What comes after the first two never comes.
  const page = await visit({ fault: async (file) => chunk(file) && ++served > 2 });
  await until(() => page.evaluate(async () => (await (await caches.open('firefall-weights')).keys()).length === 2));
  const next = await page.context().newPage();
  await page.close();
  heal();
  server.log.length = 0;
  await next.goto(`${server.url}?device=cpu`);
  await ready(next);
  assert.equal(server.log.filter(chunk).length, (await chunks()) - 2);
  await works(next);
});

test('W15 weights that the browser threw away are loaded again', async () => {
  const page = await visit();
  await ready(page);
  await page.evaluate(() => caches.delete('firefall-weights'));
  server.log.length = 0;
  await page.reload();
  await ready(page);
  assert.equal(server.log.filter(chunk).length, await chunks());
  await works(page);
});

test('W15 a stored chunk that went bad is fetched again, and nothing else', async () => {
  const page = await visit();
  await ready(page);
  await page.evaluate(async () => {
    const cache = await caches.open('firefall-weights');
    const [key] = (await cache.keys()).filter(({ url }) => url.endsWith('.bin'));
    const { byteLength } = await (await cache.match(key)).arrayBuffer();
    await cache.put(key, new Response(new Uint8Array(byteLength)));
  });
  server.log.length = 0;
  await page.reload();
  await ready(page);
  assert.equal(server.log.filter(chunk).length, 1);
  await works(page);
});

test('W15 without storage the page works and says so', async () => {
  const page = await visit({ injected: without.storage });
  await ready(page);
  assert.match(await page.textContent('#status'), /does not keep the weights/);
  await works(page);
});

test('W15 a full disk is no reason to fail', async () => {
  const page = await visit({ injected: without.room });
  await ready(page);
  assert.match(await page.textContent('#status'), /does not keep the weights/);
  await works(page);
});

test('W16 it works where a page is isolated, as where it is not', async () => {
  const isolated = await serve(dist, {
    headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' },
  });
  const page = await open(browser, `${isolated.url}?device=cpu`);
  await ready(page);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await works(page);
  await isolated.close();
});

test('W17 a page that is older than its host by now says so', async () => {
  const fault = async (file, response, body, request) => {
    if (file.endsWith('/worker.js')) return response.writeHead(404).end(), true;
    if (!request.url.endsWith('?version')) return false;
    response.writeHead(200, { 'content-type': 'text/html' }).end(asNext(body));
    return true;
  };
  const page = await visit({ fault });
  await page.waitForFunction(() => /new version; reload it\./.test(document.getElementById('trouble').textContent), null, { timeout: 60_000 });
  assert.match(await page.textContent('#trouble'), /^The worker .+ This page has a new version; reload it\. Try again$/s);
  heal();
  await page.context().close();
});

test('W18 a new version takes the place of the one that was kept', async () => {
  server.fault = null;
  const page = await open(browser, `${server.url}?device=cpu`);
  await ready(page);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const old = await versionOf(page);
  server.fault = newer(dist, old);
  await page.reload();
  assert.equal(await versionOf(page), NEXT);
  await ready(page);
  await until(() => page.evaluate(async (old) => !(await caches.keys()).includes(old), old));
  await works(page);
  heal();
});

/** What a host may do where the page is kept: the kept one comes, and soon. */
const ABSENT = { 'never answers': async () => {}, 'is down behind its gateway': end(502, 'bad gateway') };
for (const [name, answer] of Object.entries(ABSENT)) {
  test(`W18 a page that is kept comes also where its host ${name}`, async () => {
    server.fault = null;
    const page = await open(browser, `${server.url}?device=cpu`);
    await ready(page);
    await page.evaluate(() => navigator.serviceWorker.ready);
    server.fault = badly(Infinity, answer, (path) => path === '/');
    server.log.length = 0;
    await page.reload({ timeout: 20_000 });
    assert.ok(server.log.includes('/'), 'the host was asked first');
    await ready(page);
    heal();
    await works(page);
  });
}

test('W18 a page that the browser threw away comes from its host', async () => {
  server.fault = null;
  const page = await open(browser, `${server.url}?device=cpu`);
  await ready(page);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.evaluate(async () => Promise.all((await caches.keys()).map((key) => caches.delete(key))));
  await page.reload();
  await ready(page);
  await works(page);
});

test('W18 a page in place of a file is not kept, and the files are at the next visit', async () => {
  // As a host does that is in the midst of a new version; the page itself got the file before.
  server.fault = async (file, response, body, request) => {
    if (!file.endsWith('/main.js') || request.headers['sec-fetch-dest'] === 'script') return false;
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>');
    return true;
  };
  const page = await open(browser, `${server.url}?device=cpu`);
  await ready(page);
  const gone = () => navigator.serviceWorker.getRegistration().then((found) => !found?.active && !found?.installing);
  await until(() => page.evaluate(gone));
  heal();
  await page.reload();
  await page.evaluate(() => navigator.serviceWorker.ready);
  const type = await page.evaluate(async () => (await caches.match(document.querySelector('script[type=module]').src)).headers.get('content-type'));
  assert.match(type, /javascript/);
  await works(page);
});

test('W22, W23 a run goes on while the window changes and another tab is in front', async () => {
  const page = await visit();
  await ready(page);
  await page.click('#settings summary');
  await page.locator('#stages input').first().fill('300');
  await page.fill('#prompt', 'a red circle');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  await page.setViewportSize({ width: 400, height: 700 });
  const other = await page.context().newPage();
  await other.bringToFront();
  assert.match((await outcome(page)).status, /^Done/);
  await page.bringToFront();
  await works(page);
});

test('W24 a hundred pictures leave no more memory behind than a few', async () => {
  const isolated = await serve(dist, {
    headers: { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' },
  });
  const page = await open(browser, `${isolated.url}?device=cpu`);
  await ready(page);
  const [before, after] = await page.evaluate(async () => {
    const folder = [...document.scripts].find(({ src }) => src.endsWith('main.js')).src;
    const { FirefallClient } = await import(new URL('firefall/index.js', folder));
    const client = new FirefallClient({ model: new URL('model/', location.href.split('?')[0]), device: 'cpu' });
    const used = async () => (await performance.measureUserAgentSpecificMemory()).bytes;
    const make = async (times) => {
      for (let seed = 0; seed < times; seed++) {
        const result = await client.generate({ prompt: 'a red circle', seed }).promise;
        if (!result.ok) throw new Error(result.message);
      }
      return used();
    };
    return [await make(10), await make(100)];
  });
  assert.ok(after < 1.05 * before, `${before} bytes became ${after}`);
  await page.context().close();
  await isolated.close();
});

test('W19 prompts of every kind', async () => {
  const page = await visit();
  await ready(page);
  for (const empty of ['', '   ', '\u200b']) {
    assert.match((await make(page, empty)).trouble, /what the picture should show/i);
  }
  for (const prompt of ['x'.repeat(10_000), '👩‍👩‍👧 🦊', 'דוג \u202e', 'e\u0301\u0302', 'a\u0000b', '\ud800', 'zzz qqq', '<img src=x onerror=alert(1)>']) {
    const { status, trouble } = await make(page, prompt);
    assert.match(status, /^Done/, `${JSON.stringify(prompt.slice(0, 20))}: ${trouble}`);
  }
  assert.equal(await page.locator('#history img[src="x"]').count(), 0);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('W20 links of every kind', async () => {
  const links = {
    '#v=1&prompt=a%20red%20star&seed=7': [],
    '#v=1&prompt=x&seed=NaN': [/no seed/],
    '#v=1&prompt=x&seed=-1&count=99&steps=0': [/no seed/, /no count/, /no steps/],
    '#v=1&prompt=x&__proto__=1&constructor=2': [/__proto__/, /constructor/],
    '#v=1&prompt=x&model=0000000000000000': [/another model/],
    '#v=9&prompt=x': [/no v/],
    [`#v=1&prompt=${'x'.repeat(50_000)}`]: [/too long/],
    '#v=1&prompt=%3Cscript%3Ealert(1)%3C/script%3E': [],
  };
  for (const [link, expected] of Object.entries(links)) {
    const page = await visit({ path: `?device=cpu${link}` });
    if (expected.length) for (const words of expected) assert.match(await trouble(page), words);
    else await ready(page);
    await works(page);
  }
});

test('W21 a hundred prompts at once: the latest wins', async () => {
  const page = await visit();
  await ready(page);
  for (let i = 0; i < 100; i++) {
    await page.fill('#prompt', `a red circle ${i}`);
    await page.press('#prompt', 'Enter');
    if (i % 3 === 0) await page.click('#stop', { timeout: 500 }).catch(() => {});
  }
  const { status, trouble } = await make(page, 'the last one');
  assert.match(status, /^Done/, trouble);
  assert.match(await page.locator('#pictures canvas').getAttribute('aria-label'), /^the last one, seed/);
  assert.equal(workers(), 1);
  assert.deepEqual(page.complaints, []);
  await works(page);
});

test('W25 seeds at the edges', async () => {
  const page = await visit();
  await ready(page);
  await page.click('#settings summary');
  for (const seed of ['0', '4294967295', '9007199254740991']) {
    await page.fill('#seed', seed);
    assert.match((await make(page, 'a red circle')).status, new RegExp(`seed ${seed}`));
  }
  await page.fill('#seed', '9007199254740992');
  assert.match((await make(page, 'a red circle')).trouble, /whole number/);
  await page.context().close();
});
