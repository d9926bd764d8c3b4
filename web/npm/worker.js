// The worker: it owns the program, the weights and the device, so the page never waits.

import init, { Engine, read_png, sha256, write_png } from './firefall_web.js';
import { program as file } from './program.js';
import { ADAPTER_WAIT, soon } from './soon.js';
import { Failure, fetchPatiently, forgetAll, loadModel } from './weights.js';

/** Adapters that are the CPU in disguise, slower than the program's own CPU path. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|warp|software/i;
/** What the kernels need, which is what the specification promises. */
const LIMITS = { maxStorageBuffersPerShaderStage: 8, maxComputeInvocationsPerWorkgroup: 256 };
/** A graphics driver on which the kernels have not been tried in so many milliseconds is left for the CPU; compiling them takes
 * some seconds, on a slow device more. */
const OPEN_WAIT = 60_000;
/** What may help where the weights came whole and are no model. */
const HOST = 'Reload the page; if it stays so, its host is at fault.';
/** How every program begins. */
const MAGIC = [0, 97, 115, 109];

let program = null;
/** How much of the program has come. */
let arrived = { got: 0, total: null };
let engine = null;
/** Whether the graphics device is tried or in use: of one that was given up nothing is heard any more. */
let graphics = false;
const working = new Set();
const stopped = new Set();

const failed = (reason, message) => ({ ok: false, reason, message });

/** What the program throws has a name that says which kind it is; anything else is a fault of ours. */
const failureOf = (error) => {
  if (!error?.name?.includes('_')) return failed('internal_error', String(error?.message ?? error));
  return failed(error.name, error.name === 'bad_model' ? `${error.message} ${HOST}` : error.message);
};

/** Lets messages in: a step on the CPU never leaves the microtask queue by itself. */
const breath = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(0);
  });

const fatal = (message) => postMessage({ fatal: message });

/** A device without this feature is as good, but Burn ends where it is missing, although only its profiler uses it. */
const TIMER = 'timestamp-query';

/** Says that every adapter has the timer; the device is opened without it. */
function pretendTimers() {
  const adapters = globalThis.GPU?.prototype;
  if (!adapters) return;
  const request = adapters.requestAdapter;
  adapters.requestAdapter = async function (...args) {
    const adapter = await request.apply(this, args);
    if (adapter && !adapter.features.has(TIMER)) {
      Object.defineProperty(adapter, 'features', { value: new Set([...adapter.features, TIMER]) });
    }
    return adapter;
  };
}

/** The program's own devices are out of reach, so their loss is heard where they are made. */
function listenToDevices() {
  const adapters = globalThis.GPUAdapter?.prototype;
  if (!adapters) return;
  const request = adapters.requestDevice;
  adapters.requestDevice = async function (wanted = {}) {
    const requiredFeatures = [...(wanted.requiredFeatures ?? [])].filter((feature) => feature !== TIMER);
    const device = await request.call(this, { ...wanted, requiredFeatures });
    if (!graphics) {
      // It comes too late: the program, which uses the CPU by now, waits for it no longer.
      device.destroy();
      return new Promise(() => {});
    }
    device.lost.then((info) => {
      if (graphics) fatal(`The graphics device was lost${info.message ? `: ${info.message}` : '.'}`);
    });
    device.addEventListener('uncapturederror', (event) => {
      // The program's own listener comes after this one, and would end it.
      if (!graphics) event.stopImmediatePropagation();
      else if (event.error instanceof GPUOutOfMemoryError) fatal('The graphics device has no memory left.');
      else fatal(`The graphics device refused a command: ${event.error.message}`);
    });
    return device;
  };
}

async function start(assets, progress = () => {}) {
  program ??= (async () => {
    pretendTimers();
    listenToDevices();
    const came = (got, total) => {
      arrived = { got, total };
      progress({ phase: 'program' });
    };
    const module = await fetchPatiently('The program', new URL(file(), assets), came, compiled);
    // A host that compresses does not say how long it is.
    came(arrived.got, arrived.got);
    await init({ module_or_path: module });
  })();
  try {
    await program;
  } catch (error) {
    program = null;
    throw error;
  }
}

/** The program in a form that can be started, or why there is none in these bytes. */
async function compiled(bytes, tries) {
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) throw new Failure('something else came in its place', { again: true });
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    // Once again: a browser that is too old for it reads it no better later.
    throw new Failure(`it is damaged, or cannot run in this browser (${error.message})`, { again: tries === 0 });
  }
}

/** Tells of program and weights, which come at once, in one sum; its total is known once both are. Warnings go on as they are. */
function summed(tell) {
  let weights = { got: 0, total: null };
  return (event) => {
    const { phase, ...part } = event;
    if (phase === 'warning') return tell(event);
    if (phase === 'weights') weights = part;
    const known = arrived.total !== null && weights.total !== null;
    return tell({ phase, got: arrived.got + weights.got, total: known ? arrived.total + weights.total : null });
  };
}

/** The first device of the ladder that works, and why it is not an earlier one. */
async function open(asked, why) {
  if (asked !== 'cpu') {
    graphics = true;
    const found = await webgpu(asked);
    if (found.engine) return found;
    graphics = false;
    if (asked === 'webgpu') throw Object.assign(new Error(found.why), { name: 'webgpu_unsupported' });
    why = found.why;
  }
  const engine = await Engine.open('cpu');
  // Where kernels are wrong, that is told beside the reason to be there.
  return { engine, device: { kind: 'cpu', name: 'CPU', why: [why, engine.fault()].filter(Boolean).join('; ') } };
}

async function webgpu(asked) {
  if (!navigator.gpu) return { why: 'this browser has no WebGPU' };
  try {
    const adapter = await soon(navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }), ADAPTER_WAIT);
    if (!adapter) return { why: 'WebGPU finds no graphics device' };
    const info = adapter.info ?? {};
    const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ') || 'GPU';
    const software = info.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
    if (asked === 'auto' && (software || SOFTWARE.test(`${name} ${info.architecture}`))) {
      return { why: 'the only graphics device is software, which is slower' };
    }
    const lack = Object.entries(LIMITS).find(([limit, least]) => adapter.limits[limit] < least);
    if (lack) return { why: `the graphics device has a ${lack[0]} of less than ${lack[1]}` };
    const engine = await soon(Engine.open('webgpu'), OPEN_WAIT);
    return { engine, device: { kind: 'webgpu', name, why: ['WebGPU works here', engine.fault()].filter(Boolean).join('; ') } };
  } catch (error) {
    return { why: `the graphics device does not work: ${error.message.replace(/\.$/, '')}` };
  }
}

const tasks = {
  async load({ id, assets, model: folder, device, why }) {
    const event = (progress) => postMessage({ id, event: progress });
    const download = summed(event);
    const weights = loadModel(new URL(folder), sha256Later(assets, download), download);
    weights.catch(() => {});
    await start(assets, download);
    const files = await weights;
    event({ phase: 'device' });
    const opened = await open(device, why);
    engine?.free();
    engine = opened.engine;
    event({ phase: 'model' });
    files.files.forEach(({ name, bytes }) => engine.put(name, bytes));
    const model = JSON.parse(engine.load());
    if (model.hash !== files.hash) return failed('download_failed', `The weights are not those that were published. ${HOST}`);
    return { ok: true, model, device: opened.device, stored: files.stored };
  },

  async generate({ id, request, paint }) {
    if (!engine) return failed('model_not_loaded', 'No model is loaded.');
    const asked = JSON.stringify(request);
    const run = paint ? engine.paint(asked, paint.rgba, paint.mask, paint.width, paint.height) : engine.start(asked);
    try {
      for (;;) {
        await breath();
        if (stopped.delete(id)) return failed('cancelled', 'Stopped.');
        const event = await run.next();
        if (!event) return failed('internal_error', 'The run ended without a picture.');
        const { pictures = [], ...told } = event;
        if (event.event === 'done') return { ok: true, images: pictures, settings: JSON.parse(engine.settings(asked)) };
        const phase = event.event === 'step' ? 'denoising' : event.event;
        postMessage({ id, event: { phase, ...told, images: pictures } }, pictures.map((image) => image.data.buffer));
      }
    } finally {
      run.free();
    }
  },

  async png({ assets, image, origin }) {
    await start(assets);
    const bytes = write_png(new Uint8Array(image.data.buffer), image.width, image.height, JSON.stringify(origin));
    return { ok: true, blob: new Blob([bytes], { type: 'image/png' }) };
  },

  async read({ assets, bytes }) {
    await start(assets);
    const told = Object.entries(JSON.parse(read_png(new Uint8Array(bytes))));
    return { ok: true, origin: Object.fromEntries(told.filter(([, value]) => value !== null)) };
  },

  async purge({ model: folder }) {
    return { ok: true, removed: await forgetAll(new URL(folder)) };
  },
};

/** Chunks are checked by the program itself, so that it works where a page has no crypto.subtle. */
const sha256Later = (assets, progress) => async (bytes) => {
  await start(assets, progress);
  return sha256(bytes);
};

onmessage = async ({ data }) => {
  // Of what has ended, nothing is left to stop.
  if (data.type === 'cancel') return void (working.has(data.id) && stopped.add(data.id));
  working.add(data.id);
  try {
    postMessage({ id: data.id, value: await tasks[data.type](data) });
  } catch (error) {
    // After a panic nothing in the program's memory can be trusted.
    if (globalThis.WebAssembly && error instanceof WebAssembly.RuntimeError) return fatal(`The program failed: ${error.message}`);
    postMessage({ id: data.id, value: failureOf(error) });
  } finally {
    working.delete(data.id);
    stopped.delete(data.id);
  }
};
