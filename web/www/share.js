// What a picture was asked with, as the fragment of a link: it never reaches a server.
//
// #v=1&prompt=a%20red%20star&seed=7&steps=18,8&scale=3,1&model=0123456789abcdef

/** Room for a prompt and a negative prompt of 2000 characters each, of which each may take nine in a link. */
export const MAX_LINK = 40 << 10;
export const MAX_SEED = Number.MAX_SAFE_INTEGER;
export const MAX_COUNT = 16;
const MAX_STEPS = 1000;
const MAX_SCALE = 100;
const MAX_STAGES = 8;
/** Digits of the model's hash in a link. */
const HASH = 16;

/** @typedef {{ steps?: number, cond_scale?: number, sampler?: string }} Stage */
/** @typedef {{ prompt: string, negative: string, seed: number|null, count: number, stopAfter: number|null, stages: Stage[], model: string }} Wish */

/** @returns {Wish} */
export const emptyWish = () => ({ prompt: '', negative: '', seed: null, count: 1, stopAfter: null, stages: [], model: '' });

/** @param {Wish} wish */
export function toFragment(wish) {
  const params = new URLSearchParams({ v: '1', prompt: wish.prompt });
  if (wish.negative) params.set('negative', wish.negative);
  if (wish.seed !== null) params.set('seed', String(wish.seed));
  if (wish.count > 1) params.set('count', String(wish.count));
  if (wish.stopAfter) params.set('stages', String(wish.stopAfter));
  const list = (key, of) => {
    const values = wish.stages.map((stage) => of(stage) ?? '');
    if (values.some((value) => value !== '')) params.set(key, values.join(','));
  };
  list('steps', (stage) => stage.steps);
  list('scale', (stage) => stage.cond_scale);
  list('sampler', (stage) => stage.sampler);
  if (wish.model) params.set('model', wish.model.slice(0, HASH));
  return `#${params.toString().replaceAll('+', '%20')}`;
}

/** A whole number in a range; undefined for anything else. */
export function whole(text, least, most) {
  if (!/^[0-9]{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** A decimal number in a range, in any form that a field or a file has; undefined for anything else. */
export function decimal(text, least, most) {
  if (text.length > 40 || !/^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** The wish with one more thing in it, or undefined where that is no value. */
const put = (wish, key, value) => (value === undefined ? undefined : { ...wish, [key]: value });

/** One entry of a list for each stage; an empty entry leaves its stage as it is. */
function putEach(wish, key, text, read) {
  const values = text.split(',').map((one) => (one === '' ? null : read(one)));
  if (values.length > MAX_STAGES || values.includes(undefined)) return undefined;
  const stages = Array.from({ length: Math.max(values.length, wish.stages.length) }, (_, i) => {
    const value = values[i] ?? null;
    return value === null ? { ...wish.stages[i] } : { ...wish.stages[i], [key]: value };
  });
  return { ...wish, stages };
}

const READERS = {
  v: (text, wish) => (text === '1' ? wish : undefined),
  prompt: (text, wish) => put(wish, 'prompt', text),
  negative: (text, wish) => put(wish, 'negative', text),
  seed: (text, wish) => put(wish, 'seed', whole(text, 0, MAX_SEED)),
  count: (text, wish) => put(wish, 'count', whole(text, 1, MAX_COUNT)),
  stages: (text, wish) => put(wish, 'stopAfter', whole(text, 1, MAX_STAGES)),
  steps: (text, wish) => putEach(wish, 'steps', text, (one) => whole(one, 1, MAX_STEPS)),
  scale: (text, wish) => putEach(wish, 'cond_scale', text, (one) => decimal(one, -MAX_SCALE, MAX_SCALE)),
  sampler: (text, wish, samplers) =>
    putEach(wish, 'sampler', text, (one) => (!samplers || samplers.includes(one) ? one : undefined)),
  model: (text, wish) => put(wish, 'model', /^[0-9a-f]{16}$/.test(text) ? text : undefined),
};

/**
 * What a link asks for, and a sentence for everything in it that is not understood. Without `samplers`, as before there is a
 * model, any name may be one.
 * @returns {{ wish: Wish | null, refused: string[] } | null} null for no link; no wish where nothing of it is understood
 */
export function fromFragment(fragment, samplers) {
  if (fragment.length <= 1) return null;
  const refused = [];
  if (fragment.length > MAX_LINK) return { wish: null, refused: ['The link is too long to be one of this page.'] };
  let wish = emptyWish();
  let asks = false;
  const seen = new Set();
  for (const [key, text] of new URLSearchParams(fragment.slice(1))) {
    const shown = key.length > 40 ? `${key.slice(0, 40)}…` : key;
    if (!Object.hasOwn(READERS, key)) {
      refused.push(`The link has "${shown}", which this page does not know; it was left out.`);
    } else if (seen.has(key)) {
      refused.push(`The link has "${shown}" twice; the first counts.`);
    } else {
      seen.add(key);
      const next = READERS[key](text, wish, samplers);
      if (!next) refused.push(`"${text.slice(0, 40)}" is no ${key} that this page can use; it was left out.`);
      asks ||= key !== 'v' && next !== undefined;
      wish = next ?? wish;
    }
    if (refused.length >= 5) break;
  }
  return { wish: asks ? wish : null, refused };
}
