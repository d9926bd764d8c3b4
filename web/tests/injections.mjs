// Faults of a browser and its graphics driver, as code that runs in the worker before anything else.

/** A call of `work`, as text; it sees nothing but its arguments. */
export const code = (work, ...args) => `(${work})(...${JSON.stringify(args)});`;

/** A property of `navigator` or of `navigator.gpu` is something else. */
export const without = {
  gpu: code(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  adapter: code(() => {
    GPU.prototype.requestAdapter = async () => null;
  }),
  answer: code(() => {
    GPU.prototype.requestAdapter = () => new Promise(() => {});
    // The page waits for seconds; nobody else waits for so many.
    const wait = setTimeout;
    globalThis.setTimeout = (work, ms) => wait(work, ms === 15_000 ? 100 : ms);
  }),
  device: code(() => {
    GPUAdapter.prototype.requestDevice = async () => {
      throw new DOMException('the driver is busy', 'OperationError');
    };
  }),
  storage: code(() =>
    Object.defineProperty(globalThis, 'caches', {
      get() {
        throw new DOMException('not here', 'SecurityError');
      },
    }),
  ),
  room: code(() => {
    Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
  }),
};

/** The adapter passes for a real one, with limits of `limits`. */
export const passing = (limits = {}) =>
  code((limits) => {
    const ask = GPU.prototype.requestAdapter;
    GPU.prototype.requestAdapter = async function (options) {
      const adapter = await ask.call(this, options);
      const info = { vendor: '', architecture: '', device: '', description: '', subgroupMinSize: 4, subgroupMaxSize: 128 };
      Object.defineProperty(adapter, 'info', { value: info });
      Object.defineProperty(adapter, 'isFallbackAdapter', { value: false });
      if (Object.keys(limits).length) Object.defineProperty(adapter, 'limits', { value: limits });
      return adapter;
    };
  }, limits);

/** When the worker has told `count` events of `phase`, it says that its device is gone. */
export const dies = (phase, count = 1) =>
  code(
    (phase, count) => {
      const post = globalThis.postMessage;
      let told = 0;
      globalThis.postMessage = (data, transfer) => {
        if (data.event?.phase === phase && ++told === count) post({ fatal: 'The graphics device was lost.' });
        else post(data, transfer ?? []);
      };
    },
    phase,
    count,
  );

/** After the first step the device reports an error of class `name`, or without one is destroyed. */
const afterFirstStep = (name) =>
  code((name) => {
    const request = GPUAdapter.prototype.requestDevice;
    const devices = [];
    GPUAdapter.prototype.requestDevice = async function (...args) {
      devices.push(await request.apply(this, args));
      return devices.at(-1);
    };
    const post = globalThis.postMessage;
    let done = false;
    globalThis.postMessage = (data, transfer) => {
      post(data, transfer ?? []);
      if (done || data.event?.phase !== 'denoising') return;
      done = true;
      if (!name) return devices.at(-1).destroy();
      devices.at(-1).dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error: new globalThis[name]('injected') }));
    };
  }, name);

/** The device reports an error of class `name` after the first step. */
export const reports = (name) => afterFirstStep(name);

/** The device is destroyed after the first step, as a driver that starts anew does. */
export const loses = afterFirstStep(null);

/** Shaders are no shaders. */
export const garbles = code(() => {
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function ({ code, ...rest }) {
    return create.call(this, { ...rest, code: `${code}\nthis is no WGSL` });
  };
});

/** From the event `phase` on, or from the start, everything that is read back from the device is `value`. */
export const spoils = (value, phase = null) =>
  code(
    (value, phase) => {
      let bad = phase === null;
      const post = globalThis.postMessage;
      globalThis.postMessage = (data, transfer) => {
        if (data.event?.phase === phase) bad = true;
        post(data, transfer ?? []);
      };
      const get = GPUBuffer.prototype.getMappedRange;
      GPUBuffer.prototype.getMappedRange = function (...args) {
        const range = get.apply(this, args);
        const read = this.usage & GPUBufferUsage.MAP_READ;
        if (bad && read) new Float32Array(range, 0, range.byteLength >> 2).fill(value === 'NaN' ? NaN : value);
        return range;
      };
    },
    value,
    phase,
  );
