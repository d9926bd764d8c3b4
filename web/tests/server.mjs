// Serves the built folder, with whatever faults a test asks for.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.bin': 'application/octet-stream',
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** A version that the folder does not have. */
export const NEXT = 'v-ffffffffffff';
const VERSIONS = /v-[0-9a-f]{12}/g;

/** The version that a page is of. */
export const versionOf = async (page) => (await page.content()).match(VERSIONS)[0];

/** A text of the folder with every version in it as NEXT. */
export const asNext = (body) => String(body).replaceAll(VERSIONS, NEXT);

/** A fault: what the host has at `start`, the files of `folder` in version `old`, is of version NEXT by now. */
export const newer = (folder, old, start = '/') => async (path, response, body) => {
  if (!path.startsWith(start)) return false;
  const inside = path.slice(start.length);
  const answer = (name, content) => response.writeHead(200, { 'content-type': TYPES[extname(name)] }).end(content);
  const isNext = inside.startsWith(NEXT);
  if (isNext) answer(inside, await readFile(join(folder, inside.replace(NEXT, old))));
  else if (['', 'sw.js'].includes(inside)) answer(inside || 'index.html', asNext(body));
  else return false;
  return true;
};

/**
 * A server on a free port. `server.fault = async (path, response, body) => boolean` may answer in its stead and says
 * whether it did; `server.log` has the path of every request. `mounts` are further folders by the start of their paths,
 * and `headers` go with every answer.
 */
export async function serve(folder, { mounts = {}, headers = {} } = {}) {
  const state = { fault: null, log: [], url: '', close: null };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    state.log.push(path);
    const mount = Object.keys(mounts).find((start) => path.startsWith(start));
    const asked = mount ? path.slice(mount.length) : path;
    const inside = normalize(path.endsWith('/') ? `${asked}index.html` : asked);
    const file = join(mount ? mounts[mount] : folder, inside);
    const body = await readFile(file).catch(() => null);
    try {
      if (await state.fault?.(path, response, body, request)) return;
      if (!body) return void response.writeHead(404).end('not found');
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'content-length': body.length, ...headers });
      response.end(body);
    } catch (error) {
      response.destroy(error);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `http://127.0.0.1:${server.address().port}/`;
  state.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return state;
}
