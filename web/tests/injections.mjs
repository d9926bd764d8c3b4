// Faults of a browser, of its graphics driver and of a worker, as code that runs in the worker before anything else.

/** A call of `work`, as text; it sees its arguments and what a worker has. */
const code = (work, ...args) => `(${work})(...${JSON.stringify(args)});`;

/** A wait of so many milliseconds is over soon: that of the worker for a driver, as nobody else waits just so long. */
const hurried = (wait) =>
  code((wait) => {
    const set = setTimeout;
    globalThis.setTimeout = (work, ms, ...rest) => set(work, ms === wait ? 100 : ms, ...rest);
  }, wait);

/** Something that a browser or a driver has is not there. */
export const without = {
  gpu: code(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  adapter: code(() => {
    GPU.prototype.requestAdapter = async () => null;
  }),
  answer:
    hurried(15_000) +
    code(() => {
      GPU.prototype.requestAdapter = () => new Promise(() => {});
    }),
  opening:
    hurried(60_000) +
    code(() => {
      GPUAdapter.prototype.requestDevice = () => new Promise(() => {});
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

/** The adapter passes for that of a graphics card, but for what `info` and `limits` say. */
export const passing = (info = {}, limits = null) =>
  code(
    (info, limits) => {
      const card = { vendor: 'nvidia', architecture: 'ampere', device: '', description: '', isFallbackAdapter: false };
      const value = { ...card, subgroupMinSize: 4, subgroupMaxSize: 128, ...info };
      const ask = GPU.prototype.requestAdapter;
      GPU.prototype.requestAdapter = async function (options) {
        const adapter = await ask.call(this, options);
        Object.defineProperty(adapter, 'info', { value });
        if (limits) Object.defineProperty(adapter, 'limits', { value: limits });
        return adapter;
      };
    },
    info,
    limits,
  );

/** The adapter offers what WebGPU promises of every one, and nothing more: what a device has for which nothing was asked. */
export const barest = code(() => {
  const [ask, request] = [GPU.prototype.requestAdapter, GPUAdapter.prototype.requestDevice];
  GPU.prototype.requestAdapter = async function (options) {
    const adapter = await ask.call(this, options);
    const device = await request.call(await ask.call(this, options));
    const limits = {};
    for (const limit in device.limits) limits[limit] = device.limits[limit];
    Object.defineProperty(adapter, 'limits', { value: limits });
    Object.defineProperty(adapter, 'features', { value: new Set(device.features), configurable: true });
    device.destroy();
    return adapter;
  };
});

/** The device that was opened last is the worker's `opened`. */
export const watched = code(() => {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    globalThis.opened = await request.apply(this, args);
    return globalThis.opened;
  };
});

/** The driver opens its device, the worker's `opened`, when the worker's `answer` is called, and was given up long before. */
export const late =
  hurried(60_000) +
  code(() => {
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      globalThis.opened = await request.apply(this, args);
      await new Promise((resolve) => (globalThis.answer = resolve));
      return globalThis.opened;
    };
  });

/** Once the worker has told the first event of `phase`, `work` is done with the device that was opened last, if one was. */
const after = (work, phase) => `${watched}(${(work, phase) => {
  const post = globalThis.postMessage;
  let told = false;
  globalThis.postMessage = (data, transfer) => {
    post(data, transfer ?? []);
    if (told || data.event?.phase !== phase) return;
    told = true;
    if (globalThis.opened) work(globalThis.opened);
  };
}})(${work}, ${JSON.stringify(phase)});`;

/** The device is destroyed after the first event of `phase`, as by a driver that starts anew. */
export const loses = (phase) => after((device) => device.destroy(), phase);

/** The same, in the midst of the first read-back after that event. */
export const losesReading = (phase) =>
  after((device) => {
    const map = GPUBuffer.prototype.mapAsync;
    GPUBuffer.prototype.mapAsync = function (...args) {
      const mapped = map.apply(this, args);
      device.destroy();
      return mapped;
    };
  }, phase);

/** The same, as soon as a kernel is compiled for the device. */
export const losesTrying = code(() => {
  const create = GPUDevice.prototype.createComputePipeline;
  GPUDevice.prototype.createComputePipeline = function (...args) {
    const pipeline = create.apply(this, args);
    this.destroy();
    return pipeline;
  };
});

/** After the first event of `phase` the device is given a command that makes no sense. */
export const misused = (phase) =>
  after((device) => void device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE }), phase);

/** After the first event of `phase` the driver never hands over anything again. */
export const stalls = (phase) =>
  after(() => {
    GPUBuffer.prototype.mapAsync = () => new Promise(() => {});
  }, phase);

/** From the first event of `phase` on, or from the start, the device has no memory for a buffer. */
export const starves = (phase = null) =>
  code((phase) => {
    let starved = phase === null;
    const post = globalThis.postMessage;
    globalThis.postMessage = (data, transfer) => {
      if (data.event?.phase === phase) starved = true;
      post(data, transfer ?? []);
    };
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (!starved) return create.call(this, descriptor);
      // As a driver does it: there is an error, and a buffer of which every use is an error too.
      this.pushErrorScope('validation');
      const useless = create.call(this, { ...descriptor, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE });
      this.popErrorScope().catch(() => {});
      const error = new GPUOutOfMemoryError('there is no room');
      queueMicrotask(() => this.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error })));
      return useless;
    };
  }, phase);

/** Shaders are no shaders. */
export const garbles = code(() => {
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function ({ code, ...rest }) {
    return create.call(this, { ...rest, code: `${code}\nthis is no WGSL` });
  };
});

/** From the event `phase` on, or from the start, everything that is read back from the device is `value`, a number or its name. */
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
        if (bad && read) new Float32Array(range, 0, range.byteLength >> 2).fill(Number(value));
        return range;
      };
    },
    value,
    phase,
  );

/** What nobody catches is thrown in the worker once it has told `count` events of `phase`; it tells nothing more. */
export const dies = (phase, count = 1) =>
  code(
    (phase, count) => {
      const post = globalThis.postMessage;
      let told = 0;
      globalThis.postMessage = (data, transfer) => {
        if (told === count) return;
        post(data, transfer ?? []);
        if (data.event?.phase !== phase || ++told < count) return;
        queueMicrotask(() => {
          throw new Error('injected');
        });
      };
    },
    phase,
    count,
  );

/** The script of the worker fails as it begins. */
export const broken = code(() => {
  throw new Error('injected');
});

/** A program of one function, which is an instruction that must never be reached. */
const TRAP = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11];

/** The program traps when a run begins, as it does where it has no memory left. */
export const traps = code((bytes) => {
  // What the worker imports is there before its first line.
  Engine.prototype.start = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes))).exports.f;
}, TRAP);
