// Keeps the page and the program, so that it works without a network after the first visit. The weights are kept by
// the program itself, see weights.js.

const VERSION = '{{version}}';
/** The browser reads one of the programs; the page says which. */
const PROGRAM = new URL(location).searchParams.get('program');
const FILES = ['./', ...{{files}}].filter((file) => !file.endsWith('.wasm') || file.endsWith(`/${PROGRAM}`));

/** So many milliseconds the page waits for the network where it is kept. */
const PATIENCE = 3000;

/** What a file must come as. A host in the midst of a new version may answer with a page, and call it well. */
const TYPES = { js: /javascript/, css: /css/, svg: /svg/, wasm: /^(?!text\/html)/ };

self.addEventListener('install', (event) => {
  event.waitUntil(install().then(() => self.skipWaiting()));
});

/** Keeps all files; without one of them the browser installs nothing, and tries again at the next visit. */
async function install() {
  const cache = await caches.open(VERSION);
  await Promise.all(FILES.map(async (file) => cache.put(file, await fetched(file))));
}

/** A file, if it is what its name says; the page must be that of this version. */
async function fetched(file) {
  const answer = await fetch(file, { cache: 'no-cache' });
  const type = answer.headers.get('content-type') ?? '';
  const right = file === './' ? (await answer.clone().text()).includes(VERSION) : TYPES[file.split('.').pop()]?.test(type) ?? true;
  if (!answer.ok || !right) throw new Error(`${file} came as ${answer.status} ${type}`);
  return answer;
}

self.addEventListener('activate', (event) => {
  event.waitUntil(forgetOlder().then(() => self.clients.claim()));
});

/** Removes what older versions kept of this folder; the storage is that of the whole host, which may have others. */
async function forgetOlder() {
  const { scope } = self.registration;
  const older = (await caches.keys()).filter((key) => key.startsWith('v-') && key !== VERSION);
  await Promise.all(older.map(async (key) => {
    const cache = await caches.open(key);
    const files = await cache.keys();
    const own = files.filter(({ url }) => url === scope || url.startsWith(`${scope}${key}/`));
    await Promise.all(own.map((file) => cache.delete(file)));
    if (own.length === files.length) await caches.delete(key);
  }));
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || !request.url.startsWith(self.registration.scope)) return;
  if (request.mode === 'navigate') event.respondWith(page(request));
  else if (FILES.some((file) => new URL(file, self.registration.scope).href === request.url)) event.respondWith(kept(request));
});

/** The page from the network, so that a new version is seen at once; the one that is kept where the network fails or is slow. */
async function page(request) {
  const own = await caches.match('./', { ignoreSearch: true }).catch(() => undefined);
  if (!own) return fetch(request);
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  const answer = await Promise.race([fetch(request).catch(() => undefined), late]);
  return answer && answer.status < 500 ? answer : own;
}

async function kept(request) {
  return (await caches.match(request)) ?? fetch(request);
}
