// Weights from a faulty server into a faulty store, without a browser.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { forgetAll, loadModel } from '../npm/weights.js';
import { serve } from './server.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const digest = async (bytes) => sha256(bytes);

/** The browser's storage, as far as it is used. */
class FakeCache extends Map {
  match = async (url) => this.get(String(url))?.clone();
  put = async (url, response) => void this.set(String(url), response);
  keys = async () => [...super.keys()].map((url) => ({ url }));
  delete = async (key) => super.delete(key.url ?? String(key));
}

let server;
let folder;
let model;
let cache;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firefall-'));
  server = await serve(folder);
  const files = { 'model.json': randomBytes(100), 'stage1.safetensors': randomBytes(5000), 'LICENSE.txt': randomBytes(10) };
  const manifest = { format: 1, hash: sha256('model'), files: [] };
  for (const [name, bytes] of Object.entries(files)) {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += 2000) {
      const chunk = bytes.subarray(at, at + 2000);
      chunks.push({ sha256: sha256(chunk), bytes: chunk.length });
      await writeFile(join(folder, `${sha256(chunk)}.bin`), chunk);
    }
    manifest.files.push({ name, chunks });
  }
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  model = { files, manifest };
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  cache = new FakeCache();
  globalThis.caches = { open: async () => cache };
  server.fault = null;
  server.log.length = 0;
});

const load = (event) => loadModel(new URL(server.url), digest, event);
const chunks = () => server.log.filter((path) => path.endsWith('.bin')).length;

function whole({ hash, files }) {
  assert.equal(hash, model.manifest.hash);
  assert.deepEqual(files.map(({ name }) => name), Object.keys(model.files));
  for (const { name, bytes } of files) assert.ok(Buffer.from(bytes).equals(model.files[name]), name);
}

test('everything comes once, counted to the byte, and then from the store', async () => {
  const events = [];
  const loaded = await load((event) => events.push(event));
  whole(loaded);
  assert.equal(loaded.stored, true);
  assert.equal(chunks(), 5);
  assert.deepEqual(events.at(-1), { phase: 'weights', got: 5110, total: 5110 });
  assert.ok(events.every(({ got }, i) => i === 0 || got >= events[i - 1].got));
  whole(await load());
  assert.equal(chunks(), 5);
});

test('offline, or behind a page that asks to sign in, the last visit is enough', async () => {
  await load();
  server.fault = async (path, response) => (response.destroy(), true);
  whole(await load());
  server.fault = async (path, response) => (response.writeHead(200).end('<!doctype html>'), true);
  whole(await load());
});

test('nobody waits long for a server that hangs where a model is kept', async () => {
  await load();
  server.fault = async (path) => path.endsWith('manifest.json');
  const start = performance.now();
  whole(await load());
  assert.ok(performance.now() - start < 10_000);
});

/** A new model of which one chunk comes late and the other is missing; `fault` is a server that has it. */
function halfDone() {
  const [late, missing] = [randomBytes(10), randomBytes(10)];
  const chunks = [late, missing].map((bytes) => ({ sha256: sha256(bytes), bytes: bytes.length }));
  const manifest = { format: 1, hash: sha256('next'), files: [{ name: 'model.json', chunks }] };
  const fault = async (path, response) => {
    if (path.endsWith('manifest.json')) return response.writeHead(200).end(JSON.stringify(manifest)), true;
    if (!path.includes(chunks[0].sha256)) return false;
    setTimeout(() => response.writeHead(200).end(late), 100);
    return true;
  };
  return { late: `${server.url}${chunks[0].sha256}.bin`, fault };
}

test('of a new model that does not come whole nothing is used, and the one of the last visit is', async () => {
  await load();
  const { late, fault } = halfDone();
  server.fault = fault;
  const events = [];
  const loaded = await load((event) => events.push(event));
  whole(loaded);
  assert.equal(loaded.stored, true);
  const [warning, ...more] = events.filter(({ phase }) => phase === 'warning');
  assert.match(warning.message, /^The weights of the last visit are used, .* the server answered 404\. Try again\.$/);
  assert.deepEqual(more, []);
  assert.deepEqual(events.at(-2), { phase: 'weights', got: 5110, total: 5110 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(events.at(-1), warning, 'nothing more is told of the new one');
  assert.ok(await cache.match(late), 'what came of it is kept for the next visit');
  server.fault = async (path, response) => (response.destroy(), true);
  whole(await load());
});

test('a new model that does not come whole is told where the one of the last visit is not whole either', async () => {
  await load();
  const chunk = (await cache.keys()).find(({ url }) => url.endsWith('.bin'));
  await cache.delete(chunk);
  const { fault } = halfDone();
  server.fault = async (path, response) => (await fault(path, response)) || (response.writeHead(404).end(), true);
  await assert.rejects(load(), { name: 'download_failed', message: /the server answered 404/ });
});

test('a fault that passes is healed', async () => {
  const faults = [
    (response) => response.writeHead(503).end(),
    (response) => response.writeHead(200).end('<!doctype html>'),
    (response, body) => response.writeHead(200).end(Buffer.alloc(body.length)),
    (response, body) => (response.writeHead(200, { 'content-length': body.length }), response.write(body.subarray(0, 5)), setTimeout(() => response.destroy(), 20)),
  ];
  for (const answer of faults) {
    let left = 1;
    cache.clear();
    server.fault = async (path, response, body) => path.endsWith('.bin') && left-- > 0 && (answer(response, body), true);
    whole(await load());
  }
});

test('a fault that stays is told; after it only what is missing is loaded', async () => {
  const lost = model.manifest.files[1].chunks[1].sha256;
  server.fault = async (path, response) => path.includes(lost) && (response.writeHead(404).end(), true);
  await assert.rejects(load(), { name: 'download_failed', message: /the server answered 404\. Try again\./ });
  await new Promise((resolve) => setTimeout(resolve, 100));
  server.fault = null;
  server.log.length = 0;
  whole(await load());
  assert.equal(chunks(), 1);
});

test('a stored chunk that went bad is fetched again, and nothing else', async () => {
  await load();
  const url = [...(await cache.keys())].map(({ url }) => url).find((url) => url.endsWith('.bin'));
  await cache.put(url, new Response('bad'));
  server.log.length = 0;
  whole(await load());
  assert.equal(chunks(), 1);
});

test('an entry of the store that cannot be read is fetched again', async () => {
  const unreadable = new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('the disk')) }));
  await load();
  const urls = (await cache.keys()).map(({ url }) => url);
  for (const url of urls) Map.prototype.set.call(cache, url, { clone: () => unreadable });
  server.log.length = 0;
  whole(await load());
  assert.equal(chunks(), 5);
  whole(await load());
  assert.equal(chunks(), 5, 'and kept again');
});

test('an update that does not fit leaves the model of the last visit', async () => {
  await load();
  const put = cache.put;
  const fresh = randomBytes(10);
  const next = { ...model.manifest, files: [{ name: 'model.json', chunks: [{ sha256: sha256(fresh), bytes: fresh.length }] }] };
  server.fault = async (path, response) => {
    if (path.endsWith('manifest.json')) response.writeHead(200).end(JSON.stringify(next));
    else response.writeHead(200).end(fresh);
    return true;
  };
  cache.put = async () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
  assert.equal((await load()).stored, false);
  cache.put = put;
  server.fault = async (path, response) => (response.destroy(), true);
  whole(await load());
});

test('a page that may store nothing removes nothing', async () => {
  Object.defineProperty(globalThis, 'caches', {
    configurable: true,
    get() {
      throw new DOMException('not here', 'SecurityError');
    },
  });
  try {
    assert.equal(await forgetAll(new URL(server.url)), false);
  } finally {
    Object.defineProperty(globalThis, 'caches', { configurable: true, writable: true, value: undefined });
  }
});

test('chunks of another model go', async () => {
  const stale = `${server.url}${'f'.repeat(64)}.bin`;
  await cache.put(stale, new Response('old'));
  await load();
  assert.equal(await cache.match(stale), undefined);
});

test('without room or without a store it loads all the same, and says so', async () => {
  cache.put = async () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
  const full = await load();
  whole(full);
  assert.equal(full.stored, false);
  globalThis.caches = undefined;
  const none = await load();
  whole(none);
  assert.equal(none.stored, false);
  assert.equal(await forgetAll(new URL(server.url)), false);
});

test('weights are removed with those of older models of their folder, and others of the host are not', async () => {
  await load();
  await cache.put(`${server.url}${'f'.repeat(64)}.bin`, new Response('old'));
  const others = ['other/model/manifest.json', `other/model/${'f'.repeat(64)}.bin`].map((path) => server.url + path);
  for (const url of others) await cache.put(url, new Response('another page'));
  assert.equal(await forgetAll(new URL(server.url)), true);
  assert.deepEqual((await cache.keys()).map(({ url }) => url), others);
  assert.equal(await forgetAll(new URL(server.url)), false);
});

test('a manifest that is none is told', async () => {
  const { manifest } = model;
  const long = { ...manifest, files: [{ name: 'model.json', chunks: [{ sha256: 'a'.repeat(64), bytes: 2 ** 40 }] }] };
  const astray = { ...manifest, files: [{ name: '../model.json', chunks: [] }] };
  for (const text of ['', '[]', '{"format":2}', '<!doctype html>', JSON.stringify(long), JSON.stringify(astray), '"x"', 'null']) {
    server.fault = async (path, response) => path.endsWith('manifest.json') && (response.writeHead(200).end(text), true);
    await assert.rejects(load(), { name: 'download_failed', message: /list of weights is damaged/ }, text);
  }
});
