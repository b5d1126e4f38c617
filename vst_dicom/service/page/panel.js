/** Beside the slide: the legend, the list of genes, hotspots, display and facts. */

import { blendTable, colorTable } from './color_maps.js';
import { h, replace } from './element.js';
import { aboutTab, displayTab } from './panel_tabs.js';
import { HotspotList } from './hotspot_list.js';
import { blendLegend, classLegend, evidenceText, heading, hiddenLegend, layerLegend } from './legend.js';
import { Picker } from './picker.js';
import { count } from './words.js';

export class Panel {
  #view;
  #state;
  #maps;
  #legend = h('section', { class: 'legend', 'aria-label': 'Legend' });
  #tabs = new Map();
  #legending = 0;
  #chosen = null;

  /**
   * @param actions `flyTo(hotspot)`, `savePicture()` and `leaveSearch()`.
   */
  constructor(view, state, maps, actions) {
    this.#view = view;
    this.#state = state;
    this.#maps = maps;
    this.picker = new Picker(view, (found) => this.#choose(found), actions.leaveSearch);
    this.hotspots = new HotspotList(view, actions.flyTo);
    const { element: display, update } = displayTab(view, state);
    const contents = [
      ['genes', 'Genes', this.picker.element],
      ['hotspots', `Hotspots ${view.hotspots.length}`, this.hotspots.element],
      ['display', 'Display', display],
      ['about', 'Details', aboutTab(view, actions.savePicture)],
    ];
    const bar = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Panel', onkeydown: (event) => this.#moveTab(event) });
    this.element = h('aside', { class: 'panel', 'aria-label': 'Map' }, this.#legend, bar);
    for (const [id, title, content] of contents) {
      const tab = h(
        'button',
        { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}`, onclick: () => this.open(id) },
        title,
      );
      const body = h('div', { role: 'tabpanel', id: `panel-${id}`, 'aria-labelledby': tab.id, class: 'tab-body' }, content);
      this.#tabs.set(id, { tab, body });
      bar.append(tab);
      this.element.append(body);
    }
    this.open('genes');
    state.listen((changed) => {
      update();
      if (![...changed].every((name) => ['place', 'opacity', 'ranges'].includes(name))) this.update();
    });
    update();
    this.update();
  }

  /** Show a tab. */
  open(id) {
    const isOnTabs = [...this.#tabs.values()].some(({ tab }) => tab === document.activeElement);
    if (isOnTabs) this.#tabs.get(id).tab.focus();
    for (const [name, { tab, body }] of this.#tabs) {
      const isOpen = name === id;
      tab.setAttribute('aria-selected', String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
      body.hidden = !isOpen;
    }
  }

  search() {
    this.open('genes');
    this.picker.focus();
  }

  step(by) {
    this.picker.step(by);
  }

  /** Mark a hotspot in the list. */
  choose(hotspotNumber) {
    const hadFocus = this.hotspots.element.contains(document.activeElement);
    this.#chosen = hotspotNumber;
    this.#showHotspots();
    if (hadFocus) this.hotspots.focus(hotspotNumber);
  }

  /** Show the legend of what is chosen. */
  async update() {
    const legending = ++this.#legending;
    const { mode, first, second, classes } = this.#state;
    this.picker.mark(first, mode === 'one' ? '' : second);
    this.#showHotspots();
    const slots = mode === 'one' ? ['first'] : ['first', 'second'];
    const chosen = slots.map((slot) => this.#maps.chosenIn(slot));
    const values = await Promise.all(
      chosen.map((found) => (found?.name ? this.#maps.values(found.name).catch(() => null) : null)),
    );
    if (legending !== this.#legending) return;
    const isBlended = mode === 'blend' && chosen.every((found) => found?.name);
    const blocks = chosen.map((found, index) => this.#block(slots[index], found, values[index], isBlended));
    replace(
      this.#legend,
      isBlended ? blendLegend(...chosen) : null,
      ...blocks,
      classes && this.#view.tissue_classes ? classLegend(this.#view.tissue_classes) : null,
      this.#notes(),
    );
  }

  #block(slot, found, values, isBlended) {
    const isCompared = this.#state.mode !== 'one';
    const body = [];
    if (!found) body.push(h('p', { class: 'quiet' }, isCompared ? 'Choose from the list below.' : 'No map: choose from the list below.'));
    else if (!found.name) body.push(hiddenLegend(found));
    else {
      body.push(heading(found));
      if (values) {
        body.push(
          layerLegend({
            layer: found,
            values,
            range: this.#state.range(found),
            table: isBlended ? blendTable(slot) : colorTable(this.#state.colors),
            onRange: (layer, range) => this.#state.set({ ranges: { ...this.#state.ranges, [layer.name]: range } }),
          }),
        );
      } else body.push(h('p', { class: 'fault' }, 'Its values cannot be loaded; choose it again.'));
      body.push(evidenceText(found, !isCompared));
    }
    const picks = isCompared
      ? h(
          'button',
          {
            type: 'button',
            class: 'slot',
            'aria-pressed': String(this.#state.slot === slot),
            onclick: () => this.#state.set({ slot }),
          },
          this.#state.slot === slot ? 'The list chooses this map' : 'Choose this map in the list',
        )
      : null;
    return h('div', { class: `block ${slot}` }, ...body, picks);
  }

  #notes() {
    const n = this.#view.warnings.length;
    if (!n) return null;
    return h('button', { type: 'button', class: 'notes', onclick: () => this.open('about') }, `${count(n, 'note')} on this result`);
  }

  #choose(found) {
    const slot = this.#state.mode === 'one' ? 'first' : this.#state.slot;
    if (!found.name && slot === 'second') return;
    this.#state.set({ [slot]: found.name ?? `hidden:${found.kind}:${found.label}`, classes: false });
  }

  #showHotspots() {
    this.hotspots.show(this.#maps.byName.get(this.#state.first)?.label, this.#chosen);
  }

  #moveTab(event) {
    const names = [...this.#tabs.keys()];
    const at = names.findIndex((name) => this.#tabs.get(name).tab === event.target);
    const next = { ArrowRight: (at + 1) % names.length, ArrowLeft: (at + names.length - 1) % names.length, Home: 0, End: names.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.open(names[next]);
  }
}
