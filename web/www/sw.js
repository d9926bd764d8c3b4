// Keeps the page and the program, so that it works without a network after the first visit. The weights are kept by
// the program itself, see weights.js.

const VERSION = '{{version}}';
/** The browser reads one of the programs; the page says which. */
const PROGRAM = new URL(location).searchParams.get('program');
const FILES = ['./', ...{{files}}].filter((file) => !file.endsWith('.wasm') || file.endsWith(`/${PROGRAM}`));

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
  const others = (keys) => keys.filter((key) => key.startsWith('v-') && key !== VERSION);
  const forget = caches.keys().then((keys) => Promise.all(others(keys).map((key) => caches.delete(key))));
  event.waitUntil(forget.then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || !request.url.startsWith(self.registration.scope)) return;
  // The page itself from the network where there is one, so that a new version is seen at once.
  if (request.mode === 'navigate') event.respondWith(fetch(request).catch(() => kept('./', request)));
  else if (FILES.some((file) => new URL(file, self.registration.scope).href === request.url)) event.respondWith(kept(request, request));
});

async function kept(name, request) {
  return (await caches.match(name, { ignoreSearch: name === './' })) ?? fetch(request);
}
