// The page: it wires the form, the pictures and the history to a client that works in a worker.

import { Brush } from './brush.js';
import { FirefallClient } from './firefall/index.js';
import { program } from './firefall/program.js';
import { History } from './history.js';
import { Pictures, decoded } from './pictures.js';
import { Settings } from './settings.js';
import { Status } from './status.js';
import { MAX_LINK, fromFragment, toFragment } from './share.js';

const EXAMPLES = [
  'a red circle',
  'a red circle above a blue star',
  'two green squares',
  'an orange ring in the top left',
  'three purple hearts',
  'a black crescent on the left',
];
const MAX_PROMPT = 2000;
/** The longest side of a picture to paint over, pixels; the program's own bound. */
const MAX_SIDE = 4096;
/** Above so many pixels at once, pictures that are painted over are seen only when they are done. */
const MOST_PREVIEWED = 4 << 20;

const at = (id) => document.getElementById(id);
const form = at('form');
const prompt = at('prompt');

const query = new URLSearchParams(location.search);
const client = new FirefallClient({
  assets: new URL('./firefall/', import.meta.url),
  // Beside the version's folder, so that a new page keeps the weights.
  model: new URL('../model/', import.meta.url),
  device: query.get('device') ?? 'auto',
});
const settings = new Settings();
const status = new Status(at('status'), at('progress'), at('trouble'));
const pictures = new Pictures(at('pictures'));
const brush = new Brush();
const history = new History(at('history-section'), at('history'), recall);

/** What the pictures on the page were made of, with `file` where one was dropped; null before the first. */
let shown = null;
let abort = null;
/** What the client had loaded when the page last showed it; null before the first time. */
let known = null;
/** The file that is being opened; null once a run or an earlier picture came after it. */
let opening = null;

prompt.maxLength = MAX_PROMPT;
at('negative').maxLength = MAX_PROMPT;
for (const example of EXAMPLES) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: example });
  button.onclick = () => {
    prompt.value = example;
    generate();
  };
  at('examples').append(button);
}

form.onsubmit = (event) => {
  event.preventDefault();
  generate();
};
at('stop').onclick = stop;
at('again').onclick = () => {
  settings.freshSeed();
  generate(brush.on ? brush.wish() : shown.paint);
};
at('over').onclick = paintOver;
at('save').onclick = save;
at('share').onclick = share;
at('forget').onclick = forget;
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') stop();
});
addEventListener('hashchange', () => openLink());
listenForFiles();
at('device').textContent = 'Loading…';
// What was typed before this page could hear it stays.
openLink(prompt.value);
load();

/** Loads program and weights; what fails may be tried again by `retry`. */
async function load(retry = load) {
  const loaded = await client.load((progress) => (progress.phase === 'warning' ? status.warn(progress.message) : status.loading(progress)));
  // Whoever closed the client says so.
  if (loaded.reason === 'cancelled') return undefined;
  if (!loaded.ok) {
    at('device').textContent = '';
    // A run that waits for the same load tells of its end, and tries again as a run.
    return abort ? undefined : failed(loaded, retry);
  }
  modelReady(client.loaded);
  // The status line is that of a run, where there is one.
  if (abort) return undefined;
  if (!loaded.stored) status.note('This browser does not keep the weights; they will be loaded again next time.');
  else status.ready();
  return undefined;
}

/** Tells what went wrong, and where it may be because the host has another version of the page by now, that too. */
async function failed({ message }, retry) {
  status.fail(message, { retry: retry && (() => tryAgain(retry)) });
  if (!client.loaded && (await outdated())) status.warn('This page has a new version; reload it.');
}

/** Leads on from the button that has gone by now; else the next Tab would begin at the top of the page. */
function tryAgain(retry) {
  retry();
  if (document.activeElement === document.body) at(abort ? 'stop' : 'prompt').focus({ preventScroll: true });
}

/** Whether the page on its host is of another version, past what the service worker keeps. */
async function outdated() {
  const version = import.meta.url.split('/').at(-2);
  const html = await fetch('./?version', { cache: 'no-store' }).then((answer) => answer.text(), () => '');
  return /v-[0-9a-f]{12}\//.test(html) && !html.includes(version);
}

/** Shows what was loaded, once, whether the page or a run had asked for it. */
function modelReady(loaded) {
  if (!loaded || loaded === known) return;
  const before = known;
  known = loaded;
  at('device').textContent = deviceLine(loaded.device);
  // Where the same model was only loaded again, its fields keep what is in them.
  if (before?.model.hash !== loaded.model.hash) {
    settings.show(loaded.model);
    at('model').textContent = `Model ${loaded.model.name}, ${loaded.model.hash.slice(0, 16)}. ${loaded.model.licence}`;
  }
  if (!before) judgeLink();
}

function deviceLine({ kind, name, why }) {
  // Of WebGPU what follows the first part: what does not work there.
  return kind === 'webgpu' ? `On ${[`${name} by WebGPU`, ...why.split('; ').slice(1)].join('; ')}.` : `On the CPU, because ${why}.`;
}

/** Makes whole pictures, or paints where `paint` says so. */
async function generate(paint = brush.on ? brush.wish() : undefined) {
  if (!prompt.value.trim()) {
    status.fail('Type what the picture should show.');
    prompt.focus();
    return;
  }
  const wish = { ...settings.wish(), prompt: prompt.value, paint };
  const { problem, field } = paint?.problem ? paint : wish;
  if (problem) {
    status.fail(problem);
    if (field) point(field);
    return;
  }
  status.begin();
  opening = null;
  const run = client.generate(paramsOf(wish), (progress) => {
    // Of what gave way to a later prompt or to a file, nothing is shown any more.
    if (abort === run.abort) follow(progress, wish);
  });
  abort = run.abort;
  pictures.begin(wish.count, wish, paint?.image);
  arrange();
  const result = await run.promise;
  modelReady(client.loaded);
  // A later prompt has the page now.
  if (abort !== run.abort) return;
  abort = null;
  if (!result.ok) {
    pictures.back();
    arrange();
    if (result.reason === 'cancelled') status.note('Stopped.');
    // Where nothing is loaded, no load says any more that it can be tried again.
    else failed(result, client.loaded ? undefined : () => generate(paint));
    return;
  }
  const model = client.loaded?.model.hash ?? '';
  shown = { ...wish, model, settings: result.settings };
  at('device').textContent = deviceLine(result.device);
  pictures.finish(result.images);
  // What is painted is a picture as any other, and may be painted over again.
  brush.close();
  arrange();
  status.done(result.timeMs, wish);
  await history.add({ ...shown, paint: undefined }, result.images);
}

/** Leads to a field that says nothing of use, which may be in a closed fold. */
function point(field) {
  field.closest('details').open = true;
  field.focus();
}

function paramsOf({ prompt, negative, seed, count, stages, stopAfter, paint }) {
  const previews = !paint || paint.image.width * paint.image.height * count <= MOST_PREVIEWED;
  return { prompt, negative: negative || undefined, seed, count, stages, stopAfter: stopAfter ?? undefined, paint, previews };
}

/** Says at once that it was heard: the run ends with its next step, which may take a while. */
function stop() {
  if (!abort) return;
  status.note('Stopping…');
  abort();
}

/** Shows what can be used now. */
function arrange() {
  const running = abort !== null;
  const focused = document.activeElement;
  at('stop').hidden = !running;
  at('actions').hidden = running || !pictures.finished;
  for (const id of ['save', 'share', 'again']) at(id).hidden = Boolean(shown?.file);
  brush.show(brush.on && !running);
  at('pictures').hidden = brush.on && !running;
  at('go').textContent = brush.on ? 'Paint it' : 'Make it';
  at('over').setAttribute('aria-pressed', String(brush.on));
  refocus(focused);
}

/** From a button that has just gone to the one in its place; else the next Tab would begin at the top of the page. */
function refocus(focused) {
  // The picture stays in view, also where the button is far from it.
  const focus = (id) => at(id).focus({ preventScroll: true });
  if (at('actions').hidden && at('actions').contains(focused)) focus(abort ? 'stop' : 'go');
  else if (at('stop').hidden && focused === at('stop')) focus(at('actions').hidden || at('again').hidden ? 'go' : 'again');
}

/** To the brush and back to whole pictures. */
function paintOver() {
  // Where this was painted already, the mask of then: the same part with another prompt is what is tried next.
  if (brush.on) brush.close();
  else brush.open(pictures.image(pictures.selected), shown.paint?.mask);
  arrange();
  if (brush.on) status.note('Paint over what should change, type what the picture shows when it is done, and press “Paint it”.');
  else status.note('The next picture will be a whole one.');
}

function follow(progress, wish) {
  modelReady(client.loaded);
  if (progress.phase === 'recovering') status.note(`${progress.message} Trying again.`);
  if (progress.phase === 'warning') status.warn(progress.message);
  if (progress.images?.length) pictures.preview(progress.images);
  status.follow(progress, wish);
}

/** A field of one line drops line breaks, and would join the words around them. */
function oneLine(text) {
  return text.replace(/[\r\n]+/g, ' ');
}

/** Puts a wish into the form. */
function restore(wish) {
  prompt.value = oneLine(wish.prompt);
  settings.restore({ ...wish, negative: oneLine(wish.negative) });
}

/** Brings an earlier picture back with what made it. A run, and a part that is being painted, keep the place of the picture. */
function recall(wish, image) {
  opening = null;
  restore(wish);
  if (abort) return undefined;
  if (brush.on) return status.note('Its settings are in the form; the picture under the brush stays.');
  if (!image) return status.note('Its settings are in the form; the picture itself is no longer kept.');
  shown = wish;
  pictures.show([image], [`${wish.prompt}, seed ${wish.seed}`]);
  arrange();
  at('pictures').scrollIntoView({ block: 'nearest' });
  const painted = wish.settings.inpaint ? ' It was painted over another one; another seed makes a whole picture.' : '';
  return status.note(`The picture is back, with its settings.${painted}`);
}

/** Puts into the form what the address asks for, but for the prompt where one was `typed`. */
function openLink(typed = '') {
  // What was loaded last: its fields are there also where its weights were removed.
  const link = fromFragment(location.hash, known?.model.samplers);
  if (link?.wish) restore({ ...link.wish, prompt: typed.trim() ? typed : link.wish.prompt });
  if (known) judgeLink();
}

/** Says what of the address is not understood, and where it is about another model than this one. */
function judgeLink() {
  const link = fromFragment(location.hash, known.model.samplers);
  if (!link) return;
  const other = link.wish?.model && !known.model.hash.startsWith(link.wish.model);
  const notes = other ? ['The link was made with another model; its picture will differ.'] : [];
  const all = [...notes, ...link.refused];
  if (all.length) status.warn(all.join(' '));
}

async function share() {
  const link = new URL(location.href);
  link.hash = toFragment(shown);
  if (link.hash.length > MAX_LINK) return status.fail('The prompt is too long for a link; save the picture, which carries it too.');
  globalThis.history.replaceState(null, '', link);
  const less = shown.settings.inpaint ? ' It carries prompt and settings; the picture that was painted over stays with you.' : '';
  try {
    await navigator.clipboard.writeText(link.href);
    return status.note(`The link is copied.${less}`);
  } catch {
    return status.note(`The link is in the address bar now; the browser does not let this page copy it.${less}`);
  }
}

async function save() {
  const index = pictures.selected;
  const image = pictures.image(index);
  const origin = {
    prompt: shown.prompt,
    negative: shown.negative || undefined,
    seed: String(shown.seed + index),
    settings: shown.settings,
    model: shown.model,
  };
  const result = await client.png(image, origin);
  if (!result.ok) return status.fail(result.message);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(result.blob);
  link.download = `${shown.prompt.replace(/[^\p{L}\p{N}]+/gu, '_').slice(0, 60) || 'picture'}_${origin.seed}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return status.note(`Saved as ${link.download}.`);
}

async function forget() {
  if (abort) abort();
  const result = await client.purge();
  if (!result.ok) return status.fail(result.message);
  at('device').textContent = 'The weights are removed from this browser; the next picture loads them again.';
  return status.note('Removed.');
}

function listenForFiles() {
  at('open').onclick = () => at('file').click();
  at('file').onchange = async () => {
    const [file] = at('file').files;
    // So that the same file can be opened again.
    at('file').value = '';
    if (file) await openFile(file);
  };
  // Text may be dragged into the prompt as anywhere else.
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', () => document.body.classList.remove('dropping'));
  addEventListener('drop', async (event) => {
    document.body.classList.remove('dropping');
    if (!hasFiles(event)) return;
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file) await openFile(file);
  });
}

async function openFile(file) {
  if (file.size > 64 << 20) return status.fail(`${file.name} is larger than 64 MiB.`);
  opening = file;
  const { image, result } = await contents(file);
  if (opening !== file) return undefined;
  if (image) showFile(file.name, image);
  const retry = () => openFile(file);
  // Where the program failed, and not the file, nobody knows how the picture was made.
  if (!result.ok && result.reason !== 'bad_file') return failed({ message: `${file.name}: ${result.message}` }, retry);
  if (!result.ok && !image) return status.fail(`${file.name}: ${result.message}`);
  const { origin = {} } = result;
  // Before there is a model its settings have no fields; where the load fails, it says why.
  if (origin.prompt && !known) await load(retry);
  if (opening !== file || (origin.prompt && !known)) return undefined;
  const notes = [];
  if (origin.prompt) notes.push(`The settings of ${file.name} are in the form.`, ...restoreOrigin(origin));
  else notes.push(`${file.name} does not say how it was made.`);
  if (!image) notes.push(`It has no picture that can be shown here, or one of more than ${MAX_SIDE} pixels a side.`);
  return origin.prompt || image ? status.note(notes.join(' ')) : status.fail(notes.join(' '));
}

/** A file's picture, null if there is none that can be shown, and what the program says of how it was made. */
async function contents(file) {
  try {
    const image = await decoded(file, MAX_SIDE);
    return { image, result: await client.read(await file.arrayBuffer()) };
  } catch {
    const message = 'It could not be read. It may be a folder, or no longer be where it was; open it again.';
    return { image: null, result: { ok: false, reason: 'bad_file', message } };
  }
}

/** Puts into the form how a file was made, and says what is amiss. */
function restoreOrigin(origin) {
  const seed = origin.seed === undefined ? null : Number(origin.seed);
  const fits = seed === null || Number.isSafeInteger(seed);
  const asked = settings.of(origin.settings);
  restore({ ...asked, prompt: origin.prompt, negative: origin.negative ?? '', seed: fits ? seed : null, count: 1 });
  const notes = [];
  if (asked.partly) notes.push('Some of its settings cannot be used here and are as the model has them.');
  if (!fits) notes.push('Its seed is larger than a browser can hold and was left out.');
  if (origin.model && known && origin.model !== known.model.hash) notes.push('It was made by another model.');
  if (origin.settings?.inpaint) notes.push('It was painted over another picture, which is not in the file.');
  return notes;
}

/** A picture from elsewhere, to be painted over; what is being made gives way. */
function showFile(name, image) {
  if (abort) {
    abort();
    abort = null;
    status.note('');
  }
  brush.close();
  shown = { file: name };
  pictures.show([image], [name]);
  arrange();
}

if ('serviceWorker' in navigator && isSecureContext) {
  navigator.serviceWorker.register(new URL(`../sw.js?program=${program()}`, import.meta.url)).catch(() => {});
}
