// The line under the picture: what is going on, how far it is, how long it will take, and what went wrong.

/** A status line says no more than this often how far loading is, or a screen reader never stops. */
const SPOKEN = 2000;

export class Status {
  #line;
  #bar;
  #trouble;
  #stageStarted = 0;
  #stage = null;
  #load = null;
  #spoken = 0;
  #failure = null;
  /** The button to try again; null where that helps nothing. */
  #again = null;
  #warnings = [];

  constructor(line, bar, trouble) {
    [this.#line, this.#bar, this.#trouble] = [line, bar, trouble];
  }

  loading({ phase, got, total }) {
    if (phase === 'device') return this.#say('Trying the graphics device…');
    if (phase === 'model') return this.#say('Building the model…');
    this.#show(total ? got / total : undefined);
    const share = total ? ` of ${megabytes(total)}, ${Math.floor((100 * got) / total)} %` : '';
    const left = this.#left(got, total);
    const time = left > 1000 ? `, ${duration(left)} left` : '';
    return this.#now(`Loading program and weights: ${megabytes(got)}${share}${time}`);
  }

  /** The milliseconds that a load still takes, 0 where nobody knows; one that has less than before is another one. */
  #left(got, total) {
    const now = performance.now();
    if (!this.#load || got < this.#load.got) this.#load = { since: now, from: got };
    this.#load.got = got;
    const came = got - this.#load.from;
    return total && came > 0 ? ((now - this.#load.since) * (total - got)) / came : 0;
  }

  ready() {
    this.#show(null);
    this.#say('Ready.');
  }

  begin() {
    this.#warnings = [];
    this.#settle();
    this.#stage = null;
    this.#show(undefined);
    this.#say('Starting…');
  }

  follow(progress, wish) {
    switch (progress.phase) {
      case 'program':
      case 'weights':
      case 'device':
      case 'model':
        return this.loading(progress);
      case 'stage_started':
        this.#stage = progress;
        this.#stageStarted = performance.now();
        this.#show(0);
        return this.#say(`Stage ${progress.stage} of ${progress.stages}, ${progress.size} × ${progress.size}`);
      case 'denoising': {
        const { step, steps } = progress;
        this.#show(step / steps);
        const left = ((performance.now() - this.#stageStarted) * (steps - step)) / step;
        const { stage, stages, size } = this.#stage;
        const time = step < steps ? `, ${duration(left)} left` : '';
        return this.#now(`Stage ${stage} of ${stages}, ${size} × ${size}: step ${step} of ${steps}${time}`);
      }
      default:
        return undefined;
    }
  }

  done(timeMs, { seed, count }) {
    this.#show(null);
    const seeds = count > 1 ? `seeds ${seed} to ${seed + count - 1}` : `seed ${seed}`;
    this.#say(`Done in ${duration(timeMs)}, ${seeds}.`);
  }

  note(message) {
    this.#show(null);
    this.#say(message);
  }

  /** Something that should be known; it stays until the next run. */
  warn(message) {
    if (!this.#warnings.includes(message)) this.#warnings.push(message);
    this.#tell();
  }

  /** Something that went wrong, with a button to try again where that may help. */
  fail(message, { retry } = {}) {
    this.#show(null);
    this.#line.textContent = '';
    [this.#failure, this.#again] = [message, retry ? this.#button(retry) : null];
    this.#tell();
  }

  #button(retry) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Try again' });
    button.onclick = () => {
      this.#settle();
      retry();
    };
    return button;
  }

  /** What went wrong is over; what should be known stays. */
  #settle() {
    [this.#failure, this.#again] = [null, null];
    this.#tell();
  }

  /** What went wrong, and beside it what should be known; the button keeps the focus if it has it. */
  #tell() {
    const focused = this.#again?.matches(':focus');
    this.#trouble.textContent = [this.#failure, ...this.#warnings].filter(Boolean).join(' ');
    this.#trouble.hidden = !this.#trouble.textContent;
    if (this.#again) this.#trouble.append(' ', this.#again);
    if (focused) this.#again.focus({ preventScroll: true });
  }

  /** `undefined`: under way, nobody knows how far; `null`: nothing is under way. */
  #show(share) {
    if (share === null) this.#load = null;
    this.#bar.hidden = share === null;
    if (share === undefined) this.#bar.removeAttribute('value');
    else if (share !== null) this.#bar.value = share;
  }

  #say(text) {
    this.#spoken = performance.now();
    this.#line.setAttribute('aria-live', 'polite');
    this.#line.textContent = text;
  }

  /** Seen at once, heard now and then. */
  #now(text) {
    const loud = performance.now() - this.#spoken > SPOKEN;
    this.#line.setAttribute('aria-live', loud ? 'polite' : 'off');
    if (loud) this.#spoken = performance.now();
    this.#line.textContent = text;
  }
}

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

export function duration(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
