// The pictures on show: under way they grow out of noise in place.

/** A thumbnail is seen small; the side of a larger picture's, pixels. */
const THUMBNAIL = 256;
/** The name of the place where pictures will be. */
const EMPTY = 'Nothing yet';

export class Pictures {
  #root;
  #labels = [];
  #images = [];
  #selected = 0;
  #finished = false;

  constructor(root) {
    this.#root = root;
    // Something to look at before the first picture, so that nothing jumps.
    root.append(canvasOf(EMPTY));
  }

  /** Whether what is on show is whole and can be saved or painted over. */
  get finished() {
    return this.#finished;
  }

  get selected() {
    return this.#selected;
  }

  image(index) {
    return this.#images[index];
  }

  /** Makes room for `count` pictures, which begin with the picture `from` where one is painted over. */
  begin(count, { prompt, seed }, from) {
    this.#finished = false;
    const labels = Array.from({ length: count }, (_, i) => `${prompt}, seed ${seed + i}, in the making`);
    this.#put(labels);
    if (from) this.preview(labels.map(() => from));
  }

  preview(images) {
    images.forEach((image, i) => draw(this.#root.children[i], image));
  }

  finish(images) {
    const labels = [...this.#root.children].map((canvas) => canvas.getAttribute('aria-label').replace(', in the making', ''));
    this.show(images, labels);
  }

  show(images, labels) {
    [this.#images, this.#labels, this.#selected] = [images, labels, 0];
    this.back();
  }

  /** The last whole pictures again, or as at the start where there are none. */
  back() {
    this.#finished = this.#images.length > 0;
    if (!this.#finished) return this.#put([EMPTY]);
    this.#put(this.#labels);
    this.preview(this.#images);
    if (this.#images.length === 1) return undefined;
    [...this.#root.children].forEach((canvas, i) => this.#choosable(canvas, i));
    return this.#select(this.#selected);
  }

  #put(labels) {
    this.#root.dataset.count = String(labels.length);
    this.#root.replaceChildren(...labels.map(canvasOf));
  }

  /** One of several can be chosen, for saving and for painting over. */
  #choosable(canvas, index) {
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'button');
    canvas.onclick = () => this.#select(index);
    canvas.onkeydown = (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      this.#select(index);
    };
  }

  #select(index) {
    this.#selected = index;
    [...this.#root.children].forEach((canvas, i) => canvas.setAttribute('aria-pressed', String(i === index)));
  }
}

function canvasOf(label) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [32, 32];
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  return canvas;
}

function draw(canvas, image) {
  if (!canvas) return;
  if (canvas.width !== image.width || canvas.height !== image.height) {
    [canvas.width, canvas.height] = [image.width, image.height];
    fit(canvas);
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

/** A canvas as wide as its place, or where it is high, as high as that is wide; few pixels are seen as they are. */
export function fit(canvas) {
  canvas.style.maxWidth = `${Math.min(100, (100 * canvas.width) / canvas.height)}%`;
  canvas.classList.toggle('small', Math.max(canvas.width, canvas.height) < 128);
}

/** A picture as the address of a PNG, for thumbnails. */
export async function thumbnail(image) {
  const scale = Math.min(1, THUMBNAIL / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const small = await createImageBitmap(image, { resizeWidth: width, resizeHeight: height, resizeQuality: 'medium' });
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  canvas.getContext('2d').drawImage(small, 0, 0);
  small.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  return blob ? URL.createObjectURL(blob) : '';
}

/** The pixels of a file, on white where it is transparent; null if the browser cannot read it or a side is above `most`. */
export async function decoded(file, most) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  if (Math.max(width, height) > most) {
    bitmap.close();
    return null;
  }
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}
