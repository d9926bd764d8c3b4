// Files that the page gives and takes, and what the command line says of them.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';

import { button } from './browser.mjs';

const exec = promisify(execFile);
const scratch = await mkdtemp(join(tmpdir(), 'firefall-'));

/** What the command line says is in a file, by keyword. */
export async function shown(file) {
  const { stdout } = await exec(process.env.FIREFALL, ['show', file]);
  return Object.fromEntries(stdout.trim().split('\n').map((line) => line.match(/^(\S+) +(.*)$/).slice(1)));
}

/** A file that the page saves; its name on the page comes after the last dash. */
export async function saved(page) {
  const [download] = await Promise.all([page.waitForEvent('download'), button(page, 'Save PNG').click()]);
  const file = join(scratch, `${Math.random()}-${download.suggestedFilename()}`);
  await download.saveAs(file);
  return file;
}

/** A PNG file of one gray pixel that says `texts`, by keyword, as another program may write it. */
export async function noted(texts) {
  const number = (value) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    return Buffer.concat([number(data.length), body, number(crc32(body))]);
  };
  const told = Object.entries(texts).map(([key, text]) => chunk('tEXt', Buffer.from(`${key}\0${text}`, 'latin1')));
  const head = chunk('IHDR', Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]));
  const pixel = chunk('IDAT', deflateSync(Buffer.from([0, 128])));
  const file = join(scratch, `${Math.random()}.png`);
  await writeFile(file, Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), head, ...told, pixel, chunk('IEND', Buffer.alloc(0))]));
  return file;
}

/** The bytes of the picture in a file, four a pixel, as the browser reads them. */
export async function decoded(page, file) {
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, image.width, image.height).data];
  }, (await readFile(file)).toString('base64'));
}

/** A file as a mouse carries it, under another name. */
export async function carried(page, name, file) {
  return page.evaluateHandle(
    ([name, base64]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type: 'image/png' }));
      return data;
    },
    [name, (await readFile(file)).toString('base64')],
  );
}

/** Lets a file fall on the page. */
export async function drop(page, name, file) {
  await page.dispatchEvent('main', 'drop', { dataTransfer: await carried(page, name, file) });
}
