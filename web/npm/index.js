// Firefall for any page: pictures from prompts, made in a worker, on WebGPU where there is one and else on the CPU.
//
// Results are values, { ok: true, … } or { ok: false, reason, message }. Nothing here throws for what a user, a network
// or a graphics driver did. Types are in index.d.ts.

import { ADAPTER_WAIT, soon } from './soon.js';

/** What a device may be asked to be. */
const DEVICES = ['auto', 'webgpu', 'cpu'];

/** What may become of a run when another is asked for; the middle one is another name for the first. */
const BUSY_POLICIES = ['replace', 'abort_and_queue', 'reject'];

/** More take more memory than they save time. */
const MOST_WORKERS = 4;

/** A run that was stopped ends with its step; a device that has not come to the end of it in so many milliseconds hangs. */
const STUCK = 10_000;

/** The end of a worker, with all that it was doing. */
class WorkerEnd extends Error {}

/** The end of a worker that was wished for: no fault of its device. */
class Closed extends WorkerEnd {
  constructor() {
    super('The worker was closed.');
  }
}

/** With a capital and a full stop: what browsers and drivers say is often a part of a sentence. */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;

/** @returns {{ ok: false, reason: string, message: string }} */
const failed = (reason, message) => ({ ok: false, reason, message: sentence(message) });

const superseded = () => failed('superseded', 'Another prompt took the place of this one.');
const cancelled = () => failed('cancelled', 'Stopped.');

/** Whether a value is a whole number that survives being one: seeds and counts. */
const isWhole = (value) => Number.isSafeInteger(value) && value >= 0;

/** Lone surrogates are no text in UTF-8. */
const wellFormed = (text) => text?.toWellFormed?.() ?? text;

export class FirefallClient {
  #assets;
  #model;
  #asked;
  #why = 'it was asked for';
  #worker = null;
  #others = [];
  #calls = new Map();
  #lastId = 0;
  #loading = null;
  #followers = new Set();
  #loaded = null;
  #running = null;
  #closing = null;
  #latest = 0;

  /** A client with the files beside this module. */
  static createDefault() {
    return new FirefallClient();
  }

  /** What this browser offers; asks for no permission and loads nothing. */
  static async detect() {
    const wasm = typeof WebAssembly === 'object';
    let webgpu = false;
    let shaderF16 = false;
    try {
      const adapter = await soon(globalThis.navigator?.gpu?.requestAdapter(), ADAPTER_WAIT);
      webgpu = Boolean(adapter);
      shaderF16 = Boolean(adapter?.features.has('shader-f16'));
    } catch {
      // A browser that refuses to answer, or a driver that does not, has none.
    }
    return { webgpu, shaderF16, wasm };
  }

  /** @param {{ assets?: string | URL, model?: string | URL, device?: 'auto' | 'webgpu' | 'cpu' }} [options] */
  constructor({ assets = new URL('.', import.meta.url), model, device = 'auto' } = {}) {
    const base = globalThis.location?.href ?? import.meta.url;
    this.#assets = new URL(assets, base);
    this.#model = model === undefined ? new URL('model/', this.#assets) : new URL(model, base);
    this.#asked = DEVICES.includes(device) ? device : 'auto';
  }

  /** What is loaded, or null. */
  get loaded() {
    return this.#loaded;
  }

  /** Loads program and weights, from the browser's storage where they are; does nothing if they are loaded. */
  async load(onProgress = () => {}) {
    while (this.#closing) await this.#closing;
    if (this.#loaded) return { ok: true, ...this.#loaded };
    // Whoever began the loading may be stopped, while another one waits for it.
    this.#followers.add(onProgress);
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
      this.#followers.clear();
    });
    return this.#loading;
  }

  async #load() {
    let opening = false;
    const follow = (progress) => {
      opening ||= progress.phase === 'device';
      this.#followers.forEach((tell) => tell(progress));
    };
    try {
      const options = { assets: this.#assets.href, model: this.#model.href, device: this.#asked, why: this.#why };
      const answer = await this.#call('load', options, follow);
      if (answer.ok) this.#loaded = answer;
      else this.#drop();
      return answer;
    } catch (end) {
      // The worker is gone already, and a new one may be in its place.
      if (end instanceof Closed) return cancelled();
      if (!opening || this.#asked !== 'auto') return failed('backend_unavailable', end.message);
      // A graphics device that ends its worker already at the start is left for the CPU.
      [this.#asked, this.#why] = ['cpu', `the graphics device does not work: ${end.message.replace(/\.$/, '')}`];
      return this.#load();
    }
  }

  /**
   * Makes pictures. A run that is under way is replaced, or with `busyPolicy: 'reject'` kept; a policy that is none is refused.
   * @returns {{ id: number, promise: Promise<object>, abort: () => void }}
   */
  generate(params, onProgress = () => {}, { busyPolicy = 'replace' } = {}) {
    const id = ++this.#latest;
    const refused = (reason, message) => ({ id, promise: Promise.resolve(failed(reason, message)), abort: () => {} });
    if (!BUSY_POLICIES.includes(busyPolicy)) {
      return refused('unsupported_option', `There is no busy policy "${String(busyPolicy)}"; there are ${BUSY_POLICIES.join(', ')}.`);
    }
    if (busyPolicy === 'reject' && this.#running) return refused('busy', 'A picture is being made.');
    const before = this.#running;
    before?.stop(superseded());
    const run = { stopped: null, cancels: new Set() };
    run.halted = new Promise((resolve) => {
      run.stop = (why) => {
        run.stopped ??= why;
        run.cancels.forEach((cancel) => cancel());
        resolve(run.stopped);
      };
    });
    this.#running = run;
    // Its worker may be in the midst of a step, of which the caller wants to hear no more.
    const tell = warnedOnce((event) => void (run.stopped || onProgress(event)));
    run.promise = this.#generate(run, before?.promise, params, tell)
      .catch((error) => failed('internal_error', String(error?.message ?? error)))
      .finally(() => {
        if (this.#running === run) this.#running = null;
      });
    return { id, promise: run.promise, abort: () => run.stop(cancelled()) };
  }

  async #generate(run, before, params, onProgress) {
    // At once, so that what the caller does to a picture or a mask later changes nothing.
    const wish = wishOf(params);
    await before;
    while (this.#closing && !run.stopped) await Promise.race([this.#closing, run.halted]);
    if (typeof wish === 'string') return failed('unsupported_option', wish);
    const asked = this.#asked;
    try {
      for (let ends = 1; ; ends++) {
        const { result, endedOn } = await this.#attempt(run, wish, onProgress);
        if (run.stopped) return run.stopped;
        if (!endedOn) return result;
        // The device is opened once more; a graphics device that fails twice is left for the CPU, and numbers that are
        // none come again, so it is left at once. What fails on the CPU twice is told.
        this.#drop();
        if (endedOn === 'cpu' && ends > 1) return failed(result.reason, `${result.message} It was tried twice.`);
        if (endedOn === 'webgpu' && (ends > 1 || result.reason === 'not_finite')) {
          [this.#asked, this.#why] = ['cpu', 'the graphics device failed'];
        }
        onProgress({ phase: 'recovering', message: result.message, device: this.#asked });
      }
    } finally {
      // Where not even the CPU went on, the next picture may try the graphics device again.
      if (!this.#loaded && !this.#loading) this.#asked = asked;
    }
  }

  /** One try; `endedOn` is the kind of a device that ended with its worker, or worked no longer. */
  async #attempt(run, { request, paint }, onProgress) {
    if (run.stopped) return { result: run.stopped };
    // A load is not broken off, as the next run needs it too, but a run that is stopped need not see its end.
    const loaded = await Promise.race([this.load(onProgress), run.halted]);
    if (run.stopped || !loaded.ok) return { result: loaded };
    const { device } = loaded;
    const started = performance.now();
    // Other workers load for a while too, which a run that is stopped need not see either.
    const workers = await Promise.race([device.kind === 'cpu' ? this.#workersFor(request.pictures.length) : [this], run.halted]);
    if (run.stopped) return { result: run.stopped };
    const shares = shared(request.pictures, workers.length);
    const told = together(shares.length, onProgress);
    const answers = shares.map((pictures, i) => workers[i].#share(run, { request: { ...request, pictures }, paint }, told[i]));
    let stuck;
    run.cancels.add(() => {
      stuck ??= setTimeout(() => this.#drop(new WorkerEnd('The device did not answer.')), STUCK);
    });
    try {
      const results = await Promise.all(answers);
      const bad = results.find(({ ok }) => !ok);
      if (!bad) {
        const images = results.flatMap((result) => result.images);
        return { result: { ...results[0], images, timeMs: performance.now() - started, device } };
      }
      const ended = bad.reason === 'device_lost' || (bad.reason === 'not_finite' && device.kind === 'webgpu');
      return { result: bad, endedOn: ended ? device.kind : undefined };
    } catch (end) {
      if (end instanceof Closed) return { result: cancelled() };
      return { result: failed('device_lost', end.message), endedOn: device.kind };
    } finally {
      // Where one failed, the others have nothing to work for.
      run.cancels.forEach((cancel) => cancel());
      await Promise.allSettled(answers);
      clearTimeout(stuck);
      run.cancels.clear();
    }
  }

  /** Some of a request's pictures, in the worker of this client. */
  async #share(run, wish, onProgress) {
    const loaded = await this.load();
    if (!loaded.ok) return loaded;
    if (run.stopped) return run.stopped;
    const cancel = (id) => run.cancels.add(() => this.#worker?.postMessage({ type: 'cancel', id }));
    return this.#call('generate', wish, onProgress, cancel);
  }

  /** The clients that share so many pictures on the CPU, where each has one thread. */
  async #workersFor(pictures) {
    const most = Math.min(pictures, MOST_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1);
    while (this.#others.length < most - 1) {
      this.#others.push(new FirefallClient({ assets: this.#assets, model: this.#model, device: 'cpu' }));
    }
    const others = this.#others.slice(0, Math.max(0, most - 1));
    const loaded = await Promise.all(others.map((other) => other.load()));
    // There may be no memory for one of them; the rest do its part.
    return [this, ...others.filter((_, i) => loaded[i].ok)];
  }

  /** A picture as a PNG file that knows how it was made. */
  async png(image, origin) {
    const { prompt, negative, ...rest } = origin ?? {};
    const known = copied({ ...rest, prompt: wellFormed(prompt), negative: wellFormed(negative) });
    if (!known) return failed('unsupported_option', 'The origin must be plain data: lists, objects, texts and numbers.');
    return this.#ask('png', { image, origin: known });
  }

  /** What a PNG file says of itself. */
  async read(bytes) {
    return this.#ask('read', { bytes });
  }

  /** For what needs the program, but no weights and no device. */
  async #ask(type, data) {
    while (this.#closing) await this.#closing;
    return this.#answer(type, data);
  }

  async #answer(type, data) {
    try {
      return await this.#call(type, { assets: this.#assets.href, ...data });
    } catch (end) {
      // The worker is gone already, and a new one may be in its place.
      return end instanceof Closed ? cancelled() : failed('backend_unavailable', end.message);
    }
  }

  /** Frees the device and all memory; the weights stay in the browser's storage. */
  async unload() {
    return this.#shut(() => ({ ok: true }));
  }

  /** Removes the weights of this client's model folder from the browser's storage. */
  async purge() {
    return this.#shut(async () => {
      const answer = await this.#answer('purge', { model: this.#model.href });
      await this.#close();
      return answer;
    });
  }

  /** Stops the run, ends the worker and does `work`. What is asked for until that is done waits, and is not ended with it. */
  #shut(work) {
    this.#running?.stop(cancelled());
    const closing = Promise.all([this.#closing, this.#running?.promise])
      .then(() => this.#close())
      .then(work)
      .finally(() => {
        if (this.#closing === closing) this.#closing = null;
      });
    this.#closing = closing;
    return closing;
  }

  /** Ends the worker because that is wished for. */
  async #close() {
    const loading = this.#loading;
    this.#drop(new Closed());
    // Its end takes a moment, in which nobody should wait for it in place of a new one.
    await loading;
  }

  #call(type, data, onEvent = () => {}, onStart = () => {}) {
    const worker = this.#spawn();
    const id = ++this.#lastId;
    onStart(id);
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onEvent });
      try {
        worker.postMessage({ id, type, ...data });
      } catch (error) {
        this.#calls.delete(id);
        resolve(failed('unsupported_option', `What was given cannot be sent to the worker: ${error.message}`));
      }
    });
  }

  #spawn() {
    if (this.#worker) return this.#worker;
    let worker;
    try {
      worker = new Worker(new URL('worker.js', this.#assets), { type: 'module' });
    } catch (error) {
      throw new WorkerEnd(`This page may not start a worker: ${error.message}`);
    }
    worker.onmessage = ({ data }) => this.#heard(worker, data);
    worker.onmessageerror = () => this.#ended(worker, 'A message could not be read.');
    worker.onerror = (event) => {
      event.preventDefault();
      const missing =
        'The worker could not be started. Reload the page, which may have a new version by now; if it stays so, its host forbids workers.';
      this.#ended(worker, event.message ? `The worker failed: ${event.message}` : missing);
    };
    this.#worker = worker;
    return worker;
  }

  #heard(worker, { id, value, event, fatal }) {
    if (worker !== this.#worker) return;
    if (fatal) return this.#ended(worker, fatal);
    const call = this.#calls.get(id);
    if (!call) return;
    if (event) return call.onEvent(event);
    this.#calls.delete(id);
    call.resolve(value.ok ? value : failed(value.reason, value.message));
  }

  #ended(worker, message) {
    // All hear the reason, those in other workers as well, and not that theirs was closed for it.
    if (worker === this.#worker) this.#drop(new WorkerEnd(sentence(message)));
  }

  #drop(end = new WorkerEnd('The worker was closed.')) {
    this.#others.splice(0).forEach((other) => other.#drop(end));
    this.#worker?.terminate();
    this.#worker = null;
    this.#loaded = null;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    calls.forEach((call) => call.reject(end));
  }
}

/** The core's request of what a page asks for, with what to paint in; or a sentence of what is wrong with it. */
function wishOf({ prompt, negative, seed = 0, count = 1, stages = [], stopAfter, previews = true, paint, ...rest } = {}) {
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) return `There is no option "${unknown}".`;
  if (typeof prompt !== 'string') return 'The prompt must be a text.';
  if (negative !== undefined && typeof negative !== 'string') return 'The negative prompt must be a text.';
  if (!isWhole(seed)) return 'The seed must be a whole number from 0 to 9007199254740991.';
  if (!isWhole(count) || count < 1 || count > 16) return 'The count must be from 1 to 16.';
  if (!isWhole(seed + count - 1)) return 'The seeds of all pictures must be at most 9007199254740991.';
  const pictures = Array.from({ length: count }, (_, i) => ({
    prompt: wellFormed(prompt),
    negative: negative ? wellFormed(negative) : null,
    seed: seed + i,
  }));
  const request = copied({ pictures, stages, stop_after: stopAfter ?? null, previews });
  if (!request) return 'The stages must be plain data: lists, objects, texts and numbers.';
  if (paint === undefined) return { request };
  const painting = paintOf(paint);
  return typeof painting === 'string' ? painting : { request: { ...request, paint: painting.how }, paint: painting.what };
}

/** A copy that can be sent to a worker, as reactive objects of a framework cannot; undefined for what JSON cannot hold. */
function copied(value) {
  try {
    return JSON.parse(JSON.stringify(value));
  } catch {
    return undefined;
  }
}

/** How to paint, and a copy of what; or a sentence of what is wrong with it. */
function paintOf(paint) {
  const { image, mask, preset, strength, context, grow, feather, ...rest } = paint ?? {};
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) return `There is no option "paint.${unknown}".`;
  if (!isImage(image)) return 'The picture to paint in must be an ImageData.';
  if (!isImage(mask) && !(mask instanceof Uint8Array)) return 'The mask must be an ImageData or a Uint8Array.';
  if (preset !== undefined && typeof preset !== 'string') return 'The preset must be a name.';
  if (strength !== undefined && !(strength > 0 && strength <= 1)) return 'The strength must be a number above 0 and at most 1.';
  // In which range they must be is the program's to say.
  const odd = Object.entries({ context, grow, feather }).find(([, value]) => value !== undefined && !Number.isFinite(value));
  if (odd) return `"paint.${odd[0]}" must be a number.`;
  const { width, height } = image;
  if (isImage(mask) && (mask.width !== width || mask.height !== height)) {
    return `The mask has ${mask.width} x ${mask.height} pixels and the picture ${width} x ${height}.`;
  }
  const what = { rgba: new Uint8Array(image.data), mask: isImage(mask) ? whiteness(mask) : mask.slice(), width, height };
  return { how: { preset, strength, context, grow, feather }, what };
}

/** An ImageData of bytes: those of a canvas of floats are another matter. */
const isImage = (value) => value?.data instanceof Uint8ClampedArray && isWhole(value.width) && isWhole(value.height);

/** What is white, and not transparent, is painted. */
function whiteness({ data }) {
  const of = (i) => ((0.2126 * data[i] + 0.7152 * data[i + 1] + 0.0722 * data[i + 2]) * data[i + 3]) / 255;
  return Uint8Array.from({ length: data.length / 4 }, (_, pixel) => Math.round(of(4 * pixel)));
}

/** A list in `count` parts of about one length, in order. */
function shared(list, count) {
  const at = (i) => Math.round((i * list.length) / count);
  return Array.from({ length: count }, (_, i) => list.slice(at(i), at(i + 1)));
}

/** A listener that hears each warning once, as a sentence: all pictures of a run have the same prompts. */
function warnedOnce(tell) {
  const said = new Set();
  return (event) => {
    if (event.phase !== 'warning') return tell(event);
    const message = sentence(event.message.replace(/ of picture \d+/, ''));
    if (said.has(message)) return undefined;
    said.add(message);
    return tell({ ...event, message });
  };
}

/** A listener for each of `count` workers; what they tell becomes one story, which goes on as the slowest does. */
function together(count, tell) {
  if (count === 1) return [tell];
  const order = (event) => (event ? event.stage * 10_000 + event.step : 0);
  const each = (value) => Array.from({ length: count }, () => value);
  const [last, tokens] = [each(null), each(null)];
  /** The stage that each of them has begun and ended, and the last ones told. */
  const reached = { stage_started: each(0), stage_done: each(0) };
  const passed = { stage_started: 0, stage_done: 0 };
  let told = 0;
  return last.map((_, i) => (event) => {
    const { phase } = event;
    if (phase === 'warning') {
      tell(event);
    } else if (phase === 'encoded') {
      tokens[i] = event.tokens;
      if (tokens.every(Boolean)) tell({ ...event, tokens: tokens.flat() });
    } else if (phase in reached) {
      reached[phase][i] = event.stage;
      // Once the last of them has come to it.
      if (Math.min(...reached[phase]) <= passed[phase]) return;
      passed[phase] = event.stage;
      tell(event);
    } else if (phase === 'denoising') {
      last[i] = event;
      const slowest = last.reduce((a, b) => (order(a) <= order(b) ? a : b));
      if (order(slowest) <= told) return;
      told = order(slowest);
      tell({ ...slowest, images: last.flatMap(({ images }) => images) });
    }
  });
}
