// Keeps the page and the program, so that it works without a network after the first visit. The weights are kept by
// the program itself, see weights.js.

const VERSION = '{{version}}';
/** The browser reads one of the programs; the page says which. */
const PROGRAM = new URL(location).searchParams.get('program');
const FILES = ['./', ...{{files}}].filter((file) => !file.endsWith('.wasm') || file.endsWith(`/${PROGRAM}`));

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(VERSION)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' }))))
      .then(() => self.skipWaiting()),
  );
});

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
