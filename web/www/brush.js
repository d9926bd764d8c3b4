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

export class Brush {
  #panel = at('brush');
  #under = at('brush-picture');
  #mask = at('brush-mask');
  #context;
  #image = null;
  #stroke = null;

  constructor() {
    this.#context = this.#mask.getContext('2d', { willReadFrequently: true });
    at('brush-erase').onclick = () => this.#erase(!this.#erasing);
    at('brush-all').onclick = () => this.#each(() => 255);
    at('brush-invert').onclick = () => this.#each((alpha) => 255 - alpha);
    at('brush-clear').onclick = () => this.#each(() => 0);
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
    this.#each((_, i) => mask[i]);
  }

  close() {
    this.#image = null;
    this.#stroke = null;
  }

  /** While a run is at work its pictures are seen instead. */
  show(visible) {
    this.#panel.hidden = !visible;
  }

  /** What is to be painted; `problem` is a sentence of why nothing is. */
  wish() {
    const { data } = this.#pixels();
    const mask = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
    if (!mask.some((alpha) => alpha >= HALF)) return { problem: 'The mask is empty; paint over what should change.' };
    return { image: this.#image, mask, preset: at('brush-care').value };
  }

  get #erasing() {
    return at('brush-erase').getAttribute('aria-pressed') === 'true';
  }

  #erase(on) {
    at('brush-erase').setAttribute('aria-pressed', String(on));
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
    this.#stroke = { id: event.pointerId, erase: this.#erasing || event.button === PEN_ERASER, last: this.#place(event) };
    this.#line(this.#stroke.last);
  }

  #move(event) {
    if (event.pointerId !== this.#stroke?.id) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) this.#line(this.#place(one));
  }

  #end(event) {
    if (event.pointerId !== this.#stroke?.id) return;
    this.#stroke = null;
    this.#tell();
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
