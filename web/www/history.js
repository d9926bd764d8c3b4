// The pictures of this visit as thumbnails; a click puts what made one back into the form.

import { thumbnail } from './pictures.js';

/** Older ones are forgotten, so that a long visit does not fill the memory. */
const MOST = 60;

export class History {
  #section;
  #list;
  #restore;

  constructor(section, list, restore) {
    [this.#section, this.#list, this.#restore] = [section, list, restore];
  }

  async add(shown, images) {
    const urls = await Promise.all(images.map(thumbnail));
    const items = urls.map((url, i) => this.#item({ ...shown, seed: shown.seed + i, count: 1 }, url));
    this.#list.prepend(...items);
    this.#section.hidden = false;
    while (this.#list.children.length > MOST) {
      const last = this.#list.lastElementChild;
      URL.revokeObjectURL(last.querySelector('img').src);
      last.remove();
    }
  }

  #item(wish, url) {
    const item = document.createElement('li');
    const button = Object.assign(document.createElement('button'), { type: 'button', title: `${wish.prompt}, seed ${wish.seed}` });
    const picture = Object.assign(document.createElement('img'), { src: url, alt: '' });
    const caption = Object.assign(document.createElement('span'), { textContent: wish.prompt });
    button.append(picture, caption);
    button.setAttribute('aria-label', `Use again: ${wish.prompt}, seed ${wish.seed}`);
    button.onclick = () => this.#restore(wish);
    item.append(button);
    return item;
  }
}
