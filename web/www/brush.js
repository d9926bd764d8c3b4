// Painting over a part of a picture: the picture, a mask over it, and the tools for the mask.

import { fit } from './pictures.js';

const at = (id) => document.getElementById(id);

/** No colour is seen on every picture; the style sheet puts a light and a dark line around it. */
const INK = [138, 43, 226];
/** Less than this, in pixels of the picture, may fall between them and leave nothing. */
const THINNEST = 2;
/** From here on a byte of the mask counts; what is fainter is the soft edge of a stroke. */
const HALF = 128;
/** The button of a pen's other end. */
const PEN_ERASER = 5;
/** What else can be said of painting, each in a field of its name; where that is empty, it is as usual. */
const MORE = ['context', 'grow', 'feather'];
/** What can be undone: so many steps, of so many bytes together. */
const [MOST_STEPS, MOST_BYTES] = [100, 64 << 20];

/** What is said of a field whose number is none, or beyond its range; its name ends before the comma. */
const outside = ({ labels: [label], min, max }) => `“${label.textContent.split(',')[0].trim()}” must be from ${min} to ${max}.`;

export class Brush {
  #panel = at('brush');
  #under = at('brush-picture');
  #mask = at('brush-mask');
  #context;
  #image = null;
  #stroke = null;
  /** Masks as they were, the latest at the end, and those that were left by undoing. */
  #past = [];
  #future = [];

  constructor() {
    this.#context = this.#mask.getContext('2d', { willReadFrequently: true });
    at('brush-erase').onclick = () => this.#erase(!this.#erasing);
    at('brush-all').onclick = () => this.#change(() => 255);
    at('brush-invert').onclick = () => this.#change((alpha) => 255 - alpha);
    at('brush-clear').onclick = () => this.#change(() => 0);
    at('brush-undo').onclick = () => this.#turn(this.#past, this.#future);
    at('brush-redo').onclick = () => this.#turn(this.#future, this.#past);
    at('brush-strength').oninput = () => this.#say();
    addEventListener('keydown', (event) => this.#key(event));
    this.#mask.onpointerdown = (event) => this.#begin(event);
    this.#mask.onpointermove = (event) => this.#move(event);
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      this.#mask.addEventListener(end, (event) => this.#end(event));
    }
  }

  /** Whether a part is painted, and not whole pictures. */
  get on() {
    return this.#image !== null;
  }

  /** Puts a picture under the brush, with a mask that it had before or with none. */
  open(image, mask = new Uint8Array(image.width * image.height)) {
    this.#image = image;
    for (const canvas of [this.#under, this.#mask]) {
      [canvas.width, canvas.height] = [image.width, image.height];
      fit(canvas);
    }
    this.#under.getContext('2d').putImageData(image, 0, 0);
    this.#erase(false);
    this.#say();
    this.#each((_, i) => mask[i]);
    [this.#past, this.#future] = [[], []];
    this.#offer();
  }

  close() {
    this.#image = null;
    this.#stroke = null;
    [this.#past, this.#future] = [[], []];
  }

  /** While a run is at work its pictures are seen instead. */
  show(visible) {
    this.#panel.hidden = !visible;
  }

  /** What is to be painted; `problem` is a sentence of why nothing is, `field` the one that it is about. */
  wish() {
    const mask = this.#alpha();
    if (!mask.some((alpha) => alpha >= HALF)) return { problem: 'The mask is empty; paint over what should change.' };
    const wish = { image: this.#image, mask, preset: at('brush-care').value, strength: this.#strength };
    for (const name of MORE) {
      const field = at(`brush-${name}`);
      const { badInput, rangeUnderflow, rangeOverflow } = field.validity;
      if (badInput || rangeUnderflow || rangeOverflow) return { problem: outside(field), field };
      if (field.value !== '') wish[name] = field.valueAsNumber;
    }
    return wish;
  }

  get #erasing() {
    return at('brush-erase').getAttribute('aria-pressed') === 'true';
  }

  #erase(on) {
    at('brush-erase').setAttribute('aria-pressed', String(on));
  }

  get #strength() {
    return Number(at('brush-strength').value) / 100;
  }

  #say() {
    const percent = at('brush-strength').value;
    const beginning = percent === '100' ? 'from noise alone' : 'from what is there';
    at('brush-strength').setAttribute('aria-valuetext', `${percent} %, ${beginning}`);
    at('brush-strength-said').textContent = `${percent} %, ${beginning}`;
  }

  #alpha() {
    const { data } = this.#pixels();
    const alpha = new Uint8Array(data.length / 4);
    for (let i = 0; i < alpha.length; i++) alpha[i] = data[4 * i + 3];
    return alpha;
  }

  /** Changes the mask, in a step that can be undone. */
  #change(of) {
    this.#finish();
    const before = this.#alpha();
    this.#each(of);
    this.#keep(before);
  }

  /** The mask is another one now; `before` is what undoing brings back. */
  #keep(before) {
    const now = this.#alpha();
    if (before.every((alpha, i) => alpha === now[i])) return;
    this.#past.push(before);
    const most = Math.max(1, Math.min(MOST_STEPS, Math.floor(MOST_BYTES / before.length)));
    this.#past.splice(0, this.#past.length - most);
    this.#future = [];
    this.#offer();
  }

  /** One step from the end of one list to the end of the other. */
  #turn(from, to) {
    if (this.#stroke || from.length === 0) return;
    to.push(this.#alpha());
    const mask = from.pop();
    this.#each((_, i) => mask[i]);
    this.#offer();
  }

  #offer() {
    // Not `disabled`: that would take the focus away from who has just pressed it.
    at('brush-undo').setAttribute('aria-disabled', String(this.#past.length === 0));
    at('brush-redo').setAttribute('aria-disabled', String(this.#future.length === 0));
  }

  /** Undo and redo as everywhere, but in text, which has its own. */
  #key(event) {
    const { key, code, target } = event;
    const typing = target.closest?.('textarea, input:not([type=range], [type=checkbox])');
    if (!(event.ctrlKey || event.metaKey) || event.altKey || this.#panel.hidden || typing) return;
    // By its place where the keyboard writes other letters.
    const letter = /^[a-z]$/i.test(key) ? key.toLowerCase() : { KeyZ: 'z', KeyY: 'y' }[code];
    const redo = letter === 'z' ? event.shiftKey : letter === 'y' && event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (letter !== 'z' && !redo) return;
    event.preventDefault();
    if (redo) this.#turn(this.#future, this.#past);
    else this.#turn(this.#past, this.#future);
  }

  #pixels() {
    return this.#context.getImageData(0, 0, this.#mask.width, this.#mask.height);
  }

  /** Gives every pixel of the mask what `of` makes of it. */
  #each(of) {
    const pixels = this.#pixels();
    const { data } = pixels;
    for (let i = 0; i < data.length / 4; i++) {
      [data[4 * i], data[4 * i + 1], data[4 * i + 2]] = INK;
      data[4 * i + 3] = of(data[4 * i + 3], i);
    }
    this.#context.putImageData(pixels, 0, 0);
    this.#tell();
  }

  #tell() {
    const { data } = this.#pixels();
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) painted += data[i] >= HALF;
    const share = (400 * painted) / data.length;
    const said = painted === 0 ? 'Nothing' : share < 1 ? 'Less than 1 %' : `${Math.round(share)} %`;
    at('brush-share').textContent = `${said} of the picture will be painted.`;
  }

  #begin(event) {
    // One finger paints; a second one, or the ball of a hand, does not.
    if (this.#stroke || !(event.button === 0 || event.button === PEN_ERASER)) return;
    this.#mask.setPointerCapture(event.pointerId);
    this.#stroke = { id: event.pointerId, erase: this.#erasing || event.button === PEN_ERASER, last: this.#place(event), before: this.#alpha() };
    this.#line(this.#stroke.last);
  }

  #move(event) {
    if (event.pointerId !== this.#stroke?.id) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) this.#line(this.#place(one));
  }

  #end(event) {
    if (event.pointerId !== this.#stroke?.id) return;
    this.#finish();
    this.#tell();
  }

  #finish() {
    if (!this.#stroke) return;
    const { before } = this.#stroke;
    this.#stroke = null;
    this.#keep(before);
  }

  /** Where a pointer is, in pixels of the picture. */
  #place({ clientX, clientY }) {
    const { width, height, clientWidth, clientHeight, clientLeft, clientTop } = this.#mask;
    const { left, top } = this.#mask.getBoundingClientRect();
    return [((clientX - left - clientLeft) * width) / clientWidth, ((clientY - top - clientTop) * height) / clientHeight];
  }

  #line(to) {
    const { width, height } = this.#mask;
    const context = this.#context;
    context.globalCompositeOperation = this.#stroke.erase ? 'destination-out' : 'source-over';
    context.strokeStyle = `rgb(${INK})`;
    context.fillStyle = context.strokeStyle;
    context.lineWidth = Math.max(THINNEST, (Math.max(width, height) * Number(at('brush-size').value)) / 100);
    context.beginPath();
    context.moveTo(...this.#stroke.last);
    context.lineTo(...to);
    context.stroke();
    // The end is round, and a line of no length is a dot, which not every browser draws by itself.
    context.beginPath();
    context.arc(...to, context.lineWidth / 2, 0, 2 * Math.PI);
    context.fill();
    this.#stroke.last = to;
  }
}
