// The fold with everything that a model can be asked besides a prompt.

import { MAX_COUNT, MAX_SEED, decimal, emptyWish, whole } from './share.js';

const at = (id) => document.getElementById(id);
/** A number or a text of a file as text; nothing else is taken for one. */
const said = (value) => (['number', 'string'].includes(typeof value) ? String(value) : '');

/** Fresh seeds are short enough to be read aloud. */
const FRESH = 1_000_000;

export class Settings {
  #stages = [];
  #fields = [];
  /** What is asked of the stages while there is no model to say which there are. */
  #asked = { stages: [], stopAfter: null };

  constructor() {
    at('reset').onclick = () => this.restore(emptyWish());
    this.freshSeed();
  }

  freshSeed() {
    at('seed').value = String(crypto.getRandomValues(new Uint32Array(1))[0] % FRESH);
  }

  /** Makes the fields of a model's stages. */
  show({ stages, samplers }) {
    this.#stages = stages;
    const names = stages.map(({ size }, i) => (i === 0 ? `Base, ${size} × ${size}` : `Then ${size} × ${size}`));
    const sizes = stages.map(({ size }, i) => new Option(`${size} × ${size}`, String(i + 1)));
    at('size').replaceChildren(...sizes);
    this.#fields = stages.map((stage) => fieldsOf(stage, samplers));
    at('stages').replaceChildren(...this.#fields.map((fields, i) => fieldset(names[i], fields)));
    this.#restoreStages(this.#asked);
    this.#asked = { stages: [], stopAfter: null };
  }

  /** What is asked; `problem` is a sentence about `field`, which says nothing of use. The seed is drawn anew if it may. */
  wish() {
    if (!at('lock').checked && this.#used === at('seed').value) this.freshSeed();
    const seed = whole(at('seed').value.trim(), 0, MAX_SEED);
    const count = whole(at('count').value, 1, MAX_COUNT);
    const wish = { ...emptyWish(), negative: at('negative').value.trim(), seed, count };
    const refuse = (field, problem) => Object.assign(wish, { field, problem });
    wish.stopAfter = Number(at('size').value) < this.#stages.length ? Number(at('size').value) : null;
    if (seed === undefined) refuse(at('seed'), `The seed must be a whole number from 0 to ${MAX_SEED}.`);
    if (count === undefined) refuse(at('count'), `Pictures must be from 1 to ${MAX_COUNT}.`);
    wish.stages = this.#fields.map(({ steps, scale, sampler }, i) => {
      const asked = {};
      const stage = this.#stages[i];
      const number = whole(steps.value, 1, 1000);
      const guidance = decimal(scale.value, -100, 100);
      if (number === undefined) refuse(steps, 'Steps must be from 1 to 1000.');
      if (guidance === undefined) refuse(scale, 'Guidance must be a number from -100 to 100.');
      if (number !== stage.steps) asked.steps = number;
      if (guidance !== stage.condScale) asked.cond_scale = guidance;
      if (sampler.value !== stage.sampler) asked.sampler = sampler.value;
      return asked;
    });
    if (this.#stages.length === 0) Object.assign(wish, this.#asked);
    if (wish.stages.every((stage) => Object.keys(stage).length === 0)) wish.stages = [];
    wish.stages = wish.stages.slice(0, wish.stopAfter ?? undefined);
    if (!wish.problem) this.#used = at('seed').value;
    return wish;
  }
  #used = null;

  restore(wish) {
    if (wish.seed === null) this.freshSeed();
    else {
      at('seed').value = String(wish.seed);
      // The same picture again, and not the next one.
      this.#used = null;
    }
    at('count').value = String(wish.count);
    at('negative').value = wish.negative;
    this.#restoreStages(wish);
  }

  /** Where there is no model yet, its fields get this once there is. */
  #restoreStages({ stages, stopAfter }) {
    if (this.#stages.length === 0) {
      this.#asked = { stages, stopAfter };
      return;
    }
    at('size').value = String(Math.min(stopAfter ?? this.#stages.length, this.#stages.length));
    this.#fields.forEach(({ steps, scale, sampler }, i) => {
      const asked = stages[i] ?? {};
      const stage = this.#stages[i];
      steps.value = String(asked.steps ?? stage.steps);
      scale.value = String(asked.cond_scale ?? stage.condScale);
      sampler.value = offers(sampler, asked.sampler) ? asked.sampler : stage.sampler;
    });
  }

  /** The part of a wish that is in the settings of a PNG file; `partly` if some of them cannot be used here. */
  of(settings) {
    const wish = emptyWish();
    const stages = Array.isArray(settings?.stages) ? settings.stages.slice(0, this.#stages.length) : [];
    wish.stages = stages.map((stage) => ({
      steps: whole(said(stage?.steps), 1, 1000),
      cond_scale: decimal(said(stage?.cond_scale), -100, 100),
      sampler: this.#fields[0] && offers(this.#fields[0].sampler, stage?.sampler) ? stage.sampler : undefined,
    }));
    // Our files name each stage that ran, with its size; what other programs write is read as that of the first one alone.
    const all = stages.length > 0 && stages.every((stage) => said(stage?.size));
    if (all && stages.length < this.#stages.length) wish.stopAfter = stages.length;
    const lost = (asked, i) => Object.keys(asked).some((key) => asked[key] === undefined && stages[i]?.[key] !== undefined);
    return { ...wish, partly: wish.stages.some(lost) };
  }
}

/** Whether a list has a choice of this name. */
const offers = (list, name) => [...list.options].some(({ value }) => value === name);

function fieldsOf(stage, samplers) {
  const input = (attributes) => Object.assign(document.createElement('input'), attributes);
  const sampler = document.createElement('select');
  sampler.append(...samplers.map((name) => new Option(name, name)));
  sampler.value = stage.sampler;
  return {
    steps: input({ type: 'number', min: '1', max: '1000', value: String(stage.steps) }),
    scale: input({ type: 'number', min: '-100', max: '100', step: 'any', value: String(stage.condScale) }),
    sampler,
  };
}

function fieldset(name, { steps, scale, sampler }) {
  const set = document.createElement('fieldset');
  set.append(Object.assign(document.createElement('legend'), { textContent: name }));
  for (const [label, field] of [['Steps', steps], ['Guidance', scale], ['Sampler', sampler]]) {
    const row = document.createElement('label');
    row.append(`${label} `, field);
    set.append(row);
  }
  return set;
}
