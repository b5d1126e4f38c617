/** The list of genes and signatures, with search and the evidence for each at a glance. */

import { h, replace, svg } from './element.js';
import { evidence, standing } from './words.js';

const GROUPS = [
  ['gene', 'Genes'],
  ['signature', 'Signatures'],
  ['distance', 'Trust'],
  ['hidden', 'Not supported: hidden'],
];
const PLOT = { width: 64, from: -0.2, to: 1 };

export class Picker {
  #entries;
  #onChoose;
  #onLeave;
  #search;
  #list = h('div', { id: 'layers', class: 'layers', role: 'listbox', 'aria-label': 'Genes and signatures', tabindex: '0' });
  #options = [];
  #active = null;

  /**
   * @param view Of the server.
   * @param onChoose Called with a layer or something hidden.
   * @param onLeave Called when somebody leaves the list by Escape.
   */
  constructor(view, onChoose, onLeave) {
    this.#onChoose = onChoose;
    this.#onLeave = onLeave;
    this.#entries = [...sorted(view.layers), ...sorted(view.hidden)].map((found) => ({
      found,
      group: found.name ? found.kind : 'hidden',
      id: found.name ?? `hidden:${found.kind}:${found.label}`,
      text: `${found.label} ${found.genes ?? ''}`.toLowerCase(),
    }));
    this.#search = h('input', {
      type: 'search',
      class: 'search',
      placeholder: 'Search genes and signatures',
      'aria-label': 'Search genes and signatures',
      'aria-controls': 'layers',
      autocomplete: 'off',
      spellcheck: 'false',
      oninput: () => this.#render(),
      onkeydown: (event) => this.#handleKey(event),
    });
    this.#list.addEventListener('keydown', (event) => this.#handleKey(event));
    this.element = h('div', { class: 'picker' }, this.#search, this.#list);
    this.#render();
  }

  focus() {
    this.#search.focus();
    this.#search.select();
  }

  /** Mark what is shown. */
  mark(first, second) {
    this.chosen = { first, second };
    for (const option of this.#options) this.#markOption(option);
  }

  /** Choose the next or the previous of those that have values. */
  step(by) {
    const shown = this.#options.filter(({ entry }) => entry.group !== 'hidden');
    const at = shown.findIndex(({ entry }) => entry.id === this.chosen?.first);
    const next = shown[(at + by + shown.length) % shown.length];
    if (!next) return;
    this.#activate(next);
    this.#onChoose(next.entry.found);
  }

  #render() {
    const wanted = this.#search.value.trim().toLowerCase();
    const found = this.#entries.filter((entry) => entry.text.includes(wanted));
    this.#options = [];
    const groups = GROUPS.map(([name, title]) => {
      const members = found.filter((entry) => entry.group === name);
      if (!members.length) return null;
      const id = `group-${name}`;
      return h(
        'div',
        { role: 'group', 'aria-labelledby': id },
        h('div', { id, class: 'group', role: 'presentation' }, `${title} `, h('span', { class: 'quiet' }, String(members.length)), name === 'distance' ? null : h('span', { class: 'column' }, 'held-out r')),
        ...members.map((entry) => this.#option(entry)),
      );
    });
    replace(this.#list, ...groups);
    if (!found.length) replace(this.#list, h('p', { class: 'empty', role: 'presentation' }, 'No gene or signature of this name.'));
    this.#activate(this.#options.find(({ entry }) => entry.id === this.chosen?.first) ?? null);
  }

  #option(entry) {
    const { found } = entry;
    const option = {
      entry,
      element: h(
        'div',
        {
          role: 'option',
          id: `option-${this.#options.length}`,
          class: `layer ${entry.group} ${found.status ?? ''}`,
          onclick: () => {
            this.#activate(option);
            this.#onChoose(found);
          },
        },
        h('span', { class: 'label' }, found.label, h('span', { class: 'hidden-text' }, said(entry))),
        found.held_out && found.held_out.r !== null ? plot(found.held_out) : null,
        h('span', { class: 'r', 'aria-hidden': 'true' }, found.held_out?.r?.toFixed(2) ?? ''),
      ),
    };
    this.#options.push(option);
    this.#markOption(option);
    return option.element;
  }

  #markOption({ entry, element }) {
    const isFirst = entry.id === this.chosen?.first;
    const isSecond = entry.id === this.chosen?.second;
    element.setAttribute('aria-selected', String(isFirst || isSecond));
    element.classList.toggle('first', isFirst);
    element.classList.toggle('second', isSecond);
  }

  #activate(option) {
    this.#active?.element.classList.remove('active');
    this.#active = option;
    if (!option) {
      this.#list.removeAttribute('aria-activedescendant');
      return;
    }
    option.element.classList.add('active');
    option.element.scrollIntoView({ block: 'nearest' });
    this.#list.setAttribute('aria-activedescendant', option.element.id);
  }

  #handleKey(event) {
    const at = this.#options.indexOf(this.#active);
    const last = this.#options.length - 1;
    const isSearching = event.target === this.#search;
    const next = {
      ArrowDown: Math.min(at + 1, last),
      ArrowUp: Math.max(at - 1, 0),
      PageDown: Math.min(at + 10, last),
      PageUp: Math.max(at - 10, 0),
      ...(isSearching ? {} : { Home: 0, End: last }),
    }[event.key];
    if (next !== undefined && last >= 0) this.#activate(this.#options[next]);
    else if (event.key === 'Enter' || (event.key === ' ' && !isSearching)) {
      const option = this.#active ?? this.#options[0];
      if (!option) return;
      this.#activate(option);
      this.#onChoose(option.entry.found);
    } else if (event.key === 'Escape') {
      this.#search.value = '';
      this.#render();
      this.#onLeave();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function sorted(layers) {
  return [...layers].sort((one, other) => (other.held_out?.r ?? -1) - (one.held_out?.r ?? -1));
}

/** What the row shows by its place and its drawing, in words. */
function said({ found, group }) {
  return ['', standing(found) || (group === 'hidden' && 'hidden'), evidence(found.held_out)].filter((part) => part !== false).join(', ');
}

/** Held-out r and its interval, drawn. */
function plot({ r, interval }) {
  const at = (value) => ((Math.min(Math.max(value, PLOT.from), PLOT.to) - PLOT.from) / (PLOT.to - PLOT.from)) * PLOT.width;
  return svg(
    'svg',
    { class: 'plot', viewBox: `0 0 ${PLOT.width} 12`, 'aria-hidden': 'true' },
    svg('line', { class: 'zero', x1: at(0), x2: at(0), y1: 1, y2: 11 }),
    interval ? svg('line', { class: 'interval', x1: at(interval[0]), x2: at(interval[1]), y1: 6, y2: 6 }) : null,
    svg('circle', { cx: at(r), cy: 6, r: 2.6 }),
  );
}
