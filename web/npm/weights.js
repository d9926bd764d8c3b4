// Weights over the network and in the browser's storage.
//
// A model is published as chunks of at most a mebibyte, each a file of its own under its SHA-256, and a manifest that
// lists them. So a download that broke goes on where it stopped on any static host, a damaged chunk is fetched again
// and nothing else, and what is stored under a name can never be an older version.

const STORE = 'firefall-weights';
/** Chunks under way at once. */
const PARALLEL = 4;
/** Waits before each further try, in milliseconds. */
const WAITS = [300, 1000, 3000];
/** A download without a byte for so long is given up and tried again. */
const STALL = 20_000;
/** The same for a manifest where there is one of the last visit. */
const STALL_KEPT = 3000;
/** No manifest is longer, and no model. */
const MANIFEST_MAX = 1 << 20;
const MODEL_MAX = 1 << 30;

/** What went wrong with a file; `again` where another try may help. */
export class Failure extends Error {
  constructor(message, { again = false } = {}) {
    super(message);
    this.name = 'download_failed';
    this.again = again;
  }
}

const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The browser's storage for weights, or null where a page has none. */
async function openStore() {
  try {
    return (await globalThis.caches?.open(STORE)) ?? null;
  } catch {
    return null;
  }
}

/** The whole body of `url`, with `progress(got, total)` as it comes; given up after `stall` milliseconds without a byte. */
async function fetchWhole(url, progress = () => {}, { stall = STALL, ...options } = {}) {
  const controller = new AbortController();
  const late = () => controller.abort(new Failure(`nothing came for ${stall / 1000} seconds`, { again: true }));
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(late, stall);
  };
  try {
    alive();
    const response = await fetch(url, { ...options, signal: controller.signal });
    if (!response.ok) {
      const again = response.status >= 500 || response.status === 408 || response.status === 429;
      throw new Failure(`the server answered ${response.status}`, { again });
    }
    // With an encoding the length is that of the encoded body; the total is then not known.
    const total = response.headers.has('content-encoding') ? null : Number(response.headers.get('content-length')) || null;
    const parts = [];
    let got = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      alive();
      parts.push(value);
      got += value.length;
      if (got > MODEL_MAX) throw new Failure('the file is far too long');
      progress(got, total);
    }
    return join(parts, got);
  } catch (error) {
    if (error instanceof Failure) throw error;
    const reason = controller.signal.reason;
    throw reason instanceof Failure ? reason : new Failure(`the connection failed (${error.message})`, { again: true });
  } finally {
    clearTimeout(timer);
  }
}

function join(parts, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `work`, tried again after a while where that may help. */
async function patiently(what, work) {
  for (let tries = 0; ; tries++) {
    try {
      return await work(tries);
    } catch (error) {
      if (!error.again || tries >= WAITS.length) {
        const offline = globalThis.navigator?.onLine === false ? ' This device is offline.' : '';
        throw new Failure(`${what} could not be loaded: ${error.message}.${offline} Try again.`);
      }
      await rest(WAITS[tries]);
    }
  }
}

/** What `read` makes of the file `what` at `url`: where it throws a failure that may pass, the file is fetched again. */
export const fetchPatiently = (what, url, progress, read) =>
  patiently(what, async (tries) => {
    progress(0, null);
    // A wrong answer may be in the browser's own cache.
    return read(await fetchWhole(url, progress, tries > 0 ? { cache: 'reload' } : {}), tries);
  });

const chunksOf = (manifest) => manifest.files.flatMap((file) => file.chunks);

/**
 * All files of the model in `folder`, each chunk checked by `digest`; those of the last visit, with a warning, where a new
 * model does not come whole.
 * @returns {Promise<{ hash: string, stored: boolean, files: { name: string, bytes: Uint8Array }[] }>}
 */
export async function loadModel(folder, digest, event = () => {}) {
  const source = { folder, store: await openStore(), digest };
  const { manifest, fresh, older } = await loadManifest(source);
  let loaded;
  try {
    loaded = await loadFiles(source, manifest, event);
  } catch (error) {
    // What came of the new one stays beside it for the next visit.
    const last = older && (await loadFiles(source, older, event).catch(() => null));
    if (!last) throw error;
    event({ phase: 'warning', message: `The weights of the last visit are used, as new ones did not come whole. ${error.message}` });
    return last;
  }
  let { stored } = loaded;
  // Not before its last chunk: until then the manifest of the last visit is what works without a network.
  if (stored && fresh) stored = await keep(source.store, manifestUrl(folder), fresh);
  // And where there was no room for all of the new one, the chunks of that manifest stay.
  await forgetOthers(source, stored || !older ? [manifest] : [manifest, older]);
  return { ...loaded, stored };
}

/** What `loadModel` returns, of one manifest; `stored` says of its chunks whether all are kept. */
async function loadFiles({ folder, store, digest }, manifest, event) {
  const chunks = chunksOf(manifest);
  const total = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
  const got = new Map();
  let over = false;
  const progress = (chunk, bytes) => {
    got.set(chunk.sha256, bytes);
    const sum = chunks.reduce((all, one) => all + (got.get(one.sha256) ?? 0), 0);
    if (!over) event({ phase: 'weights', got: sum, total });
  };

  let stored = Boolean(store);
  const bodies = new Map();
  const waiting = [...new Map(chunks.map((chunk) => [chunk.sha256, chunk])).values()];
  const work = async () => {
    for (let chunk = waiting.shift(); chunk; chunk = waiting.shift()) {
      const loaded = await loadChunk(folder, chunk, store, digest, (bytes) => progress(chunk, bytes));
      bodies.set(chunk.sha256, loaded.bytes);
      stored &&= loaded.stored;
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, work));
  } finally {
    // Where one failed, what else is under way is kept for the next time, and tells nothing more.
    over = true;
  }
  const files = manifest.files.map(({ name, chunks }) => {
    const parts = chunks.map((chunk) => bodies.get(chunk.sha256));
    return { name, bytes: join(parts, parts.reduce((sum, part) => sum + part.length, 0)) };
  });
  return { hash: manifest.hash, stored, files };
}

const manifestUrl = (folder) => new URL('manifest.json', folder);

/** Puts a file into the store; says whether there was room. */
const keep = (store, url, bytes) => store.put(url.href, new Response(bytes)).then(() => true, () => false);

const forget = (store, url) => store.delete(url.href).catch(() => false);

/** What `read` makes of the bytes in the store; what cannot be read, or not be used, is removed, so that it is fetched again. */
async function recall(store, url, read) {
  try {
    const kept = await store?.match(url.href);
    return kept && (await read(new Uint8Array(await kept.arrayBuffer())));
  } catch {
    await forget(store, url);
    return undefined;
  }
}

/**
 * The manifest from the server, so that a new model is seen; where it cannot be had, the one of the last visit.
 * `fresh` are its bytes if they are from the server, and `older` is the one of the last visit if that is another.
 */
async function loadManifest({ folder, store }) {
  const url = manifestUrl(folder);
  const kept = await recall(store, url, parseManifest);
  const fetched = () => fetchWhole(url, undefined, { cache: 'no-cache', stall: kept ? STALL_KEPT : STALL });
  try {
    // With one at hand nobody waits long for a server that does not answer.
    const bytes = await (kept ? fetched() : patiently('The list of weights', fetched));
    const manifest = parseManifest(bytes);
    const older = JSON.stringify(kept) === JSON.stringify(manifest) ? undefined : kept;
    return { manifest, fresh: bytes, older };
  } catch (error) {
    if (!kept) throw error;
    return { manifest: kept };
  }
}

function parseManifest(bytes) {
  const bad = (why) => new Failure(`The list of weights is damaged (${why}). Reload the page; if it stays so, its host is at fault.`);
  if (bytes.length > MANIFEST_MAX) throw bad('too long');
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw bad('not JSON');
  }
  const hex = (text) => typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
  const chunk = (one) => hex(one?.sha256) && Number.isSafeInteger(one.bytes) && one.bytes > 0;
  const file = (one) => /^[A-Za-z0-9_]+\.(json|safetensors|txt)$/.test(one?.name) && Array.isArray(one.chunks) && one.chunks.every(chunk);
  if (manifest?.format !== 1) throw bad('another version of its format');
  if (!hex(manifest.hash) || !Array.isArray(manifest.files) || !manifest.files.every(file)) throw bad('not a list of files');
  const total = chunksOf(manifest).reduce((sum, one) => sum + one.bytes, 0);
  if (!(total > 0 && total <= MODEL_MAX)) throw bad('its sizes');
  return manifest;
}

const chunkUrl = (folder, chunk) => new URL(`${chunk.sha256}.bin`, folder);

async function loadChunk(folder, chunk, store, digest, progress) {
  const url = chunkUrl(folder, chunk);
  const isRight = async (bytes) => bytes.length === chunk.bytes && (await digest(bytes)) === chunk.sha256;
  const kept = await recall(store, url, (bytes) => bytes);
  if (kept) {
    if (await isRight(kept)) {
      progress(kept.length);
      return { bytes: kept, stored: true };
    }
    await forget(store, url);
  }
  const came = (got) => progress(Math.min(got, chunk.bytes));
  const bytes = await fetchPatiently('A part of the weights', url, came, async (bytes) => {
    if (await isRight(bytes)) return bytes;
    const what = bytes.length === chunk.bytes ? 'it is damaged' : `it has ${bytes.length} bytes instead of ${chunk.bytes}`;
    throw new Failure(what, { again: true });
  });
  progress(bytes.length);
  const stored = store ? await keep(store, url, bytes) : false;
  return { bytes, stored };
}

/** Removes what is kept of `folder` and is not `wanted`; says whether there was any. The storage is that of the whole host,
 * of which other pages have folders of their own. */
async function forgetIn({ folder, store }, wanted) {
  const start = new URL('.', folder).href;
  const isOwn = (url) => url.startsWith(start) && !url.slice(start.length).includes('/');
  const keys = (await store?.keys().catch(() => [])) ?? [];
  const unwanted = keys.filter(({ url }) => isOwn(url) && !wanted(url));
  const gone = await Promise.all(unwanted.map((key) => store.delete(key).catch(() => false)));
  return gone.some(Boolean);
}

/** Removes chunks of other models from the same folder. */
async function forgetOthers(source, manifests) {
  const chunks = new Set(manifests.flatMap(chunksOf).map((chunk) => chunkUrl(source.folder, chunk).href));
  await forgetIn(source, (url) => !url.endsWith('.bin') || chunks.has(url));
}

/** Removes all weights of `folder`, also those of its older models; says whether there were any. */
export const forgetAll = async (folder) => forgetIn({ folder, store: await openStore() }, () => false);
