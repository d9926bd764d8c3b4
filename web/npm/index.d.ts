/** Why something did not work. */
export type Reason =
  | 'webgpu_unsupported'
  | 'backend_unavailable'
  | 'model_not_loaded'
  | 'unsupported_option'
  | 'download_failed'
  | 'bad_model'
  | 'bad_file'
  | 'device_lost'
  | 'not_finite'
  | 'cancelled'
  | 'superseded'
  | 'busy'
  | 'internal_error';

/** What went wrong: `message` is a sentence for the user. */
export interface Failure {
  ok: false;
  reason: Reason;
  message: string;
}

export type Result<T> = ({ ok: true } & T) | Failure;

export interface Capabilities {
  webgpu: boolean;
  shaderF16: boolean;
  wasm: boolean;
}

/** The device that does the work, and why it is not a better one; also, if some of the program's ways to compute are wrong on
 * this processor, which, and that others take their place. */
export interface DeviceInfo {
  kind: 'webgpu' | 'cpu';
  name: string;
  why: string;
}

export interface StageInfo {
  /** Side of its pictures in pixels. */
  size: number;
  steps: number;
  sampler: string;
  condScale: number;
}

export interface ModelInfo {
  name: string;
  /** SHA-256 over the model's files. */
  hash: string;
  licence: string;
  stages: StageInfo[];
  samplers: string[];
}

export interface Loaded {
  model: ModelInfo;
  device: DeviceInfo;
  /** Whether the weights are in the browser's storage now. */
  stored: boolean;
}

/** Loading: `got` of `total` bytes of program and weights together, which come at once, then the device, then the model.
 * `phase` is which of them has just gone on; `total` is null until both are known. Where new weights do not come whole, those
 * of the last visit are loaded, and a warning says so. */
export type LoadProgress =
  | { phase: 'program' | 'weights'; got: number; total: number | null }
  | { phase: 'device' | 'model' }
  /** A sentence; what is under way goes on. It is told once in a run. */
  | { phase: 'warning'; message: string };

/** Making: stages and steps count from 1; `images` are the estimate of the finished pictures after every step. */
export type GenerateProgress =
  | LoadProgress
  /** The tokens of each picture's prompt, in the order of the pictures. */
  | { phase: 'encoded'; tokens: number[] }
  | { phase: 'stage_started'; stage: number; stages: number; size: number; steps: number }
  | { phase: 'denoising'; stage: number; step: number; steps: number; images: ImageData[] }
  | { phase: 'stage_done'; stage: number }
  | { phase: 'recovering'; message: string; device: 'auto' | 'webgpu' | 'cpu' };

export interface StageSettings {
  steps?: number;
  cond_scale?: number;
  sampler?: string | object;
  lowres_std?: number;
}

/** Something else into a part of a picture; the rest of it stays as it is, byte by byte. */
export interface Paint {
  /** At most 4096 pixels a side, and opaque: the fourth channel is not looked at. It is copied. */
  image: ImageData;
  /** As large as the picture. An ImageData is painted where it is white and not transparent; a Uint8Array has a byte a
   * pixel, row by row, and is painted from 128 on. It is copied. */
  mask: ImageData | Uint8Array;
  /** How carefully: `balanced` takes two to three times as long as `quick`, `thorough` four to ten times, the more the more
   * steps there are. `quick` unless said otherwise. */
  preset?: 'quick' | 'balanced' | 'thorough';
  /** Above 0 and at most 1; below 1 it begins with what is under the mask instead of with noise alone. */
  strength?: number;
  /** How much of the picture the model sees beside what is painted, 0.5 to 8 times the length of that: the less, the larger it
   * sees what it paints. 1 unless said otherwise. */
  context?: number;
  /** Pixels by which the mask grows first, 0 to 4096; unless given, 4, or a 128th of what the model sees if that is more. */
  grow?: number;
  /** Pixels beyond it over which new goes over into old, 0 to 4096; unless given, a tenth of what the model sees, at most 32,
   * or a twentieth if that is more. */
  feather?: number;
}

export interface GenerateParams {
  /** What the picture should show. */
  prompt: string;
  /** What it should not show. */
  negative?: string;
  /** Whole number; picture n of several has the seed `seed + n`. */
  seed?: number;
  /** Pictures at once, 1 to 16. */
  count?: number;
  /** What to change in each stage; what is left out stays as the model has it. */
  stages?: StageSettings[];
  /** Stop after this many stages. */
  stopAfter?: number;
  /** Whether to send an estimate after every step; on unless said otherwise. */
  previews?: boolean;
  /** What to paint in; without it the pictures are made of noise alone. */
  paint?: Paint;
}

export interface Generated {
  /** Whole pictures, also where only a part was painted. */
  images: ImageData[];
  /** What was chosen, as a PNG file carries it; `inpaint` says how it was painted. */
  settings: object;
  timeMs: number;
  device: DeviceInfo;
}

/** What a file says of its picture; what it does not say is left out. */
export interface Origin {
  prompt?: string;
  negative?: string;
  /** As text: a seed may be larger than a JavaScript number holds. */
  seed?: string;
  settings?: object;
  model?: string;
}

export class FirefallClient {
  static createDefault(): FirefallClient;
  /** A graphics driver that has not answered after 15 seconds counts as none. */
  static detect(): Promise<Capabilities>;
  constructor(options?: {
    /** The folder of worker.js and the program, ending in a slash; that of this module unless said otherwise. It must be on the
     * page's own origin: a browser starts no worker from another. */
    assets?: string | URL;
    /** The folder of the model, ending in a slash; `model/` in `assets` unless said otherwise. It may be on another origin that
     * lets this page read it. */
    model?: string | URL;
    device?: 'auto' | 'webgpu' | 'cpu';
  });
  readonly loaded: ({ ok: true } & Loaded) | null;
  load(onProgress?: (progress: LoadProgress) => void): Promise<Result<Loaded>>;
  generate(
    params: GenerateParams,
    onProgress?: (progress: GenerateProgress) => void,
    /** What becomes of a run that is under way: `replace`, or `abort_and_queue`, which is the same, ends it; `reject` keeps it
     * and refuses the new one. */
    options?: { busyPolicy?: 'replace' | 'abort_and_queue' | 'reject' },
  ): { id: number; promise: Promise<Result<Generated>>; abort: () => void };
  /** `origin` is copied as JSON is. */
  png(image: ImageData, origin: Origin): Promise<Result<{ blob: Blob }>>;
  read(bytes: ArrayBuffer): Promise<Result<{ origin: Origin }>>;
  /** Frees device and memory. A run ends as `cancelled`; what is asked for meanwhile waits, and then begins anew. */
  unload(): Promise<{ ok: true }>;
  /** As `unload`, and removes what the browser keeps of this client's model folder, older models too. What other pages of the
   * origin keep of folders of their own stays. */
  purge(): Promise<Result<{ removed: boolean }>>;
}
