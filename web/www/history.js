// The pictures of this visit as thumbnails; a click brings one back, with what made it.

import { thumbnail } from './pictures.js';

/** Older ones are forgotten, so that a long visit does not fill the memory. */
const MOST = 60;
/** Beyond so many bytes of pictures the older ones keep their thumbnail and settings alone. */
const MOST_BYTES = 64 << 20;

export class History {
  #section;
  #list;
  #recall;
  /** The latest first: what is in the list, and its picture where that is kept. */
  #items = [];

  constructor(section, list, recall) {
    [this.#section, this.#list, this.#recall] = [section, list, recall];
  }

  async add(shown, images) {
    const urls = await Promise.all(images.map(thumbnail));
    const items = images.map((image, i) => this.#item({ ...shown, seed: shown.seed + i, count: 1 }, image, urls[i]));
    this.#list.prepend(...items.map(({ element }) => element));
    this.#items.unshift(...items);
    this.#section.hidden = false;
    for (const { element } of this.#items.splice(MOST)) {
      URL.revokeObjectURL(element.querySelector('img').src);
      element.remove();
    }
    let bytes = 0;
    for (const item of this.#items) {
      bytes += item.image?.data.length ?? 0;
      if (bytes > MOST_BYTES) item.image = null;
    }
  }

  #item(wish, image, url) {
    const item = { element: document.createElement('li'), image };
    const button = Object.assign(document.createElement('button'), { type: 'button', title: `${wish.prompt}, seed ${wish.seed}` });
    const picture = Object.assign(document.createElement('img'), { src: url, alt: '' });
    const caption = Object.assign(document.createElement('span'), { textContent: wish.prompt });
    button.append(picture, caption);
    button.setAttribute('aria-label', `Use again: ${wish.prompt}, seed ${wish.seed}`);
    button.onclick = () => this.#recall(wish, item.image);
    item.element.append(button);
    return item;
  }
}
