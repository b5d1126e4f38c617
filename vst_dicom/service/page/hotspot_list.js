/** The hotspots; choosing one flies there. */

import { h, replace } from './element.js';
import { area, number } from './words.js';

export class HotspotList {
  #view;
  #onChoose;
  #buttons = new Map();
  element = h('div', { class: 'hotspots' });

  constructor(view, onChoose) {
    this.#view = view;
    this.#onChoose = onChoose;
  }

  /** List those of a gene first, others behind. */
  show(label, chosen) {
    const own = this.#view.hotspots.filter((hotspot) => hotspot.gene === label);
    const others = this.#view.hotspots.filter((hotspot) => hotspot.gene !== label);
    this.#buttons.clear();
    replace(
      this.element,
      this.#view.hotspots.length ? h('p', { class: 'note' }, this.#view.hotspots_note) : null,
      own.length ? this.#group(label, own, chosen) : null,
      others.length ? this.#group(own.length ? 'Other genes' : 'Hotspots', others, chosen) : null,
      this.#view.hotspots.length
        ? null
        : h('p', { class: 'empty' }, 'No hotspots: no place of this slide stands out from similar tissue beyond what maps of the same smoothness show by chance.'),
    );
  }

  focus(number_) {
    this.#buttons.get(number_)?.focus();
  }

  #group(title, hotspots, chosen) {
    return h(
      'section',
      { 'aria-label': title },
      h('h3', {}, title),
      h('ol', {}, ...hotspots.map((hotspot) => h('li', {}, this.#button(hotspot, chosen)))),
    );
  }

  #button(hotspot, chosen) {
    const interval = hotspot.interval ? ` [${number(hotspot.interval[0])}–${number(hotspot.interval[1])}]` : '';
    const button = h(
      'button',
      {
        type: 'button',
        class: 'hotspot',
        'aria-pressed': String(hotspot.number === chosen),
        onclick: () => this.#onChoose(hotspot),
      },
      h('span', { class: 'badge' }, String(hotspot.number)),
      h('span', { class: 'what' }, h('b', {}, hotspot.gene), ` mean ${number(hotspot.mean)}${interval}`),
      h(
        'span',
        { class: 'quiet' },
        `${area(hotspot.area_mm2)} · ${hotspot.tissue_class} · similar tissue ${number(hotspot.class_mean)}`,
        hotspot.masked_nearby > 0.005 ? ` · ${Math.round(hotspot.masked_nearby * 100)} % masked nearby` : '',
      ),
    );
    this.#buttons.set(hotspot.number, button);
    return button;
  }
}
