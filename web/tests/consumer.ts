// What a page in strict TypeScript does with the package. It is compiled by package.test.mjs, and never run.

import {
  FirefallClient,
  type Capabilities,
  type DeviceInfo,
  type Failure,
  type GenerateParams,
  type GenerateProgress,
  type Generated,
  type LoadProgress,
  type Loaded,
  type ModelInfo,
  type Origin,
  type Paint,
  type Reason,
  type Result,
  type StageInfo,
  type StageSettings,
} from 'firefall';

const offered: Capabilities = await FirefallClient.detect();
const client: FirefallClient = offered.webgpu
  ? FirefallClient.createDefault()
  : new FirefallClient({ assets: new URL('/firefall/', location.href), model: 'https://example.org/model/', device: 'cpu' });

/** Every phase of loading, and no other. */
function loading(progress: LoadProgress): string {
  switch (progress.phase) {
    case 'program':
    case 'weights':
      return `${progress.got} of ${progress.total ?? 'unknown'}`;
    case 'device':
    case 'model':
      return progress.phase;
    case 'warning':
      return progress.message;
  }
}

/** Every phase of a run, and no other. */
function making(progress: GenerateProgress): string | ImageData[] {
  switch (progress.phase) {
    case 'encoded':
      return progress.tokens.join();
    case 'stage_started':
      return `${progress.stage} of ${progress.stages}: ${progress.size} pixels, ${progress.steps} steps`;
    case 'denoising':
      return progress.step < progress.steps ? progress.images : `stage ${progress.stage}`;
    case 'stage_done':
      return `stage ${progress.stage}`;
    case 'recovering':
      return `${progress.message} ${progress.device}`;
    default:
      return loading(progress);
  }
}

/** Every reason, and no other. */
const sentences: Record<Reason, string> = {
  webgpu_unsupported: '',
  backend_unavailable: '',
  model_not_loaded: '',
  unsupported_option: '',
  download_failed: '',
  bad_model: '',
  bad_file: '',
  device_lost: '',
  not_finite: '',
  cancelled: '',
  superseded: '',
  busy: '',
  internal_error: '',
};

const loaded = await client.load((progress) => console.log(loading(progress)));
if (!loaded.ok) {
  const failure: Failure = loaded;
  throw new Error(sentences[failure.reason] || failure.message);
}
const known: Loaded = loaded;
const model: ModelInfo = known.model;
const device: DeviceInfo = known.device;
const stages: StageSettings[] = model.stages.map(({ steps, sampler, condScale }: StageInfo) => ({
  steps: 2 * steps,
  sampler,
  cond_scale: condScale,
}));
console.log(device.kind === 'cpu' ? device.why : device.name, client.loaded?.stored, model.samplers.includes('heun'));

const params: GenerateParams = { prompt: 'a red circle', negative: 'gray', seed: 7, count: 2, stages, stopAfter: 1, previews: false };
const { id, promise, abort } = client.generate(params, (progress) => console.log(making(progress)), { busyPolicy: 'reject' });
setTimeout(abort, 1000 * id);
const result: Result<Generated> = await promise;
if (!result.ok) throw new Error(result.message);
const made: Generated = result;

const image: ImageData = made.images[0];
const mask = new Uint8Array(image.width * image.height).fill(255);
const paint: Paint = { image, mask, preset: 'balanced', strength: 0.5, context: 2, grow: 0, feather: 1.5 };
const painted = await client.generate({ prompt: 'a blue star', paint: { ...paint, mask: image } }).promise;
const origin: Origin = { prompt: params.prompt, seed: String(params.seed), settings: made.settings, model: model.hash };
const file = await client.png(image, origin);
const read = file.ok ? await client.read(await file.blob.arrayBuffer()) : file;
const purged = await client.purge();
console.log(painted.ok ? painted.timeMs : painted.reason, read.ok ? read.origin.seed : read.message, purged.ok && purged.removed);
console.log((await client.unload()).ok);

// What is wrong is refused; if it were not, the comment above it would be an error.

// @ts-expect-error There is no such device.
new FirefallClient({ device: 'gpu' });
// @ts-expect-error A prompt is needed.
client.generate({ seed: 7 });
// @ts-expect-error There is no such option.
client.generate({ prompt: 'a', colour: 'red' });
// @ts-expect-error There is no such policy.
client.generate({ prompt: 'a' }, undefined, { busyPolicy: 'queue' });
// @ts-expect-error There is no such preset.
client.generate({ prompt: 'a', paint: { image, mask: image, preset: 'hasty' } });
// @ts-expect-error A width is a number.
client.generate({ prompt: 'a', paint: { image, mask: image, feather: '2px' } });
// @ts-expect-error It may have failed.
console.log((await promise).images);
// @ts-expect-error What is loaded is the client's to say.
client.loaded = null;
