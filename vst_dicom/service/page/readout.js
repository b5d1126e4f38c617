/** The predicted value below the pointer, or in the middle of the view for those who use keys. */

import { h, replace } from './element.js';
import { number } from './words.js';

export class Readout {
  #maps;
  #last = null;
  #isCentered = false;
  element = h('div', { class: 'readout' });

  constructor(maps) {
    this.#maps = maps;
  }

  /** The pointer is over a pane. */
  follow(pane, event) {
    if (!pane.transform) return;
    this.#center(false);
    this.#last = { clientX: event.clientX, clientY: event.clientY, pane };
    this.update();
  }

  /** The pointer left; a finger that was lifted leaves what it asked for. */
  leave({ pointerType }) {
    if (pointerType === 'touch') return;
    this.#last = null;
    if (!this.#isCentered) replace(this.element);
  }

  /** Read the middle of the view; returns what it says. */
  async atCenter() {
    this.#center(true);
    await this.update();
    return this.element.textContent;
  }

  /** The view or the map changed. */
  async update() {
    const lead = this.#maps.lead;
    const place = this.#isCentered ? lead.center : this.#last && this.#last.pane.toSlide(this.#last.clientX, this.#last.clientY);
    if (!place) return;
    const found = this.#maps.grid.find(place.x, place.y);
    if (!found) {
      replace(this.element, this.#isCentered ? h('span', { class: 'quiet' }, 'No tissue here') : null);
      return;
    }
    if (found.masked) {
      replace(this.element, h('span', {}, 'Masked: unlike the training tissue, or not in focus'));
      return;
    }
    const layers = this.#maps.shownLayers.filter(Boolean);
    const lines = layers.map((layer) => this.#line(layer, found.tile));
    replace(this.element, ...(await Promise.all(lines)));
  }

  #center(isCentered) {
    if (this.#isCentered === isCentered) return;
    this.#isCentered = isCentered;
    const { lead } = this.#maps;
    lead.show({ ...lead.scene, cross: isCentered });
  }

  async #line(layer, tile) {
    const value = (await this.#maps.values(layer.name))[tile];
    const half = layer.half_width ? (await this.#maps.values(layer.half_width))[tile] : null;
    return h(
      'span',
      { class: 'value' },
      h('b', {}, layer.label),
      ` ${number(value)} `,
      half === null ? null : h('span', { class: 'quiet' }, `[${number(value - half)} to ${number(value + half)}]`),
    );
  }
}
