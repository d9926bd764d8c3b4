// The pictures under way: they grow out of noise in place.

export class Pictures {
  #root;
  #images = [];
  #selected = 0;

  constructor(root) {
    this.#root = root;
    // Something to look at before the first picture, so that nothing jumps.
    root.append(canvasOf('Nothing yet'));
  }

  get selected() {
    return this.#selected;
  }

  image(index) {
    return this.#images[index];
  }

  begin(count, { prompt, seed }) {
    this.#images = [];
    this.#selected = 0;
    this.#root.dataset.count = String(count);
    const canvases = Array.from({ length: count }, (_, i) => canvasOf(`${prompt}, seed ${seed + i}, in the making`));
    this.#root.replaceChildren(...canvases);
  }

  preview(images) {
    images.forEach((image, i) => draw(this.#root.children[i], image));
  }

  finish(images) {
    this.#images = images;
    this.preview(images);
    [...this.#root.children].forEach((canvas, i) => {
      canvas.setAttribute('aria-label', canvas.getAttribute('aria-label').replace(', in the making', ''));
      if (images.length > 1) this.#choosable(canvas, i);
    });
    if (images.length > 1) this.#select(0);
  }

  /** One of several can be chosen, for saving. */
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
    canvas.classList.toggle('small', image.width < 128);
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

/** A picture as the address of a PNG, for thumbnails. */
export async function thumbnail(image) {
  const canvas = document.createElement('canvas');
  draw(canvas, image);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  return blob ? URL.createObjectURL(blob) : '';
}
