/** Which maps lie over the slide, in one view or two. */

import { getLayer } from './api.js';
import { h } from './element.js';
import { Pane, synchronize } from './pane.js';
import { extent, paintBlend, paintClasses, paintLayer } from './raster.js';
import { evidence, number, standing } from './words.js';

export class Maps {
  #view;
  #state;
  #tell;
  #layers = new Map();
  #captions = [h('p', { class: 'caption' }), h('p', { class: 'caption' })];
  #chosen = null;
  #painting = 0;
  #secondIsOpen = false;

  /** @param tell Called with what is shown, for screen readers, or with what went wrong, for everybody. */
  constructor(view, grid, state, tell) {
    this.#view = view;
    this.#state = state;
    this.#tell = tell;
    this.grid = grid;
    this.lead = new Pane(view.slide, 'Slide');
    this.second = new Pane(view.slide, 'Slide, second map');
    this.all = [this.lead, this.second];
    this.all.forEach((pane, index) => pane.element.append(this.#captions[index]));
    this.element = h('div', { class: 'panes' }, this.lead.element, this.second.element);
    this.byName = new Map(view.layers.map((layer) => [layer.name, layer]));
    this.hidden = new Map(view.hidden.map((hidden) => [`hidden:${hidden.kind}:${hidden.label}`, hidden]));
    if (!this.byName.has(state.first) && !this.hidden.has(state.first)) state.first = this.#best()?.name ?? '';
    if (!this.byName.has(state.second)) state.second = '';
    state.listen((changed) => this.#react(changed));
    for (const layer of this.shownLayers.filter(Boolean)) this.values(layer.name).catch(() => {}); // comes while the page is built
  }

  open() {
    this.lead.open();
    synchronize(this.lead, this.second, () => this.#state.mode === 'side');
  }

  close() {
    this.all.forEach((pane) => pane.close());
  }

  /** What is chosen in a slot: a layer, or something hidden. */
  chosenIn(slot) {
    return this.byName.get(this.#state[slot]) ?? this.hidden.get(this.#state[slot]) ?? null;
  }

  /** Layers that are shown, one per slot. */
  get shownLayers() {
    const slots = this.#state.mode === 'one' ? ['first'] : ['first', 'second'];
    return slots.map((slot) => this.byName.get(this.#state[slot]) ?? null);
  }

  get shownPanes() {
    return this.#state.mode === 'side' ? this.all : [this.lead];
  }

  values(name) {
    if (!this.#layers.has(name)) {
      const loading = this.#load(name);
      loading.catch(() => this.#layers.delete(name)); // asked again next time
      this.#layers.set(name, loading);
    }
    return this.#layers.get(name);
  }

  async #load(name) {
    const values = await getLayer(this.#view.key, name);
    const layer = this.byName.get(name);
    if (layer) [layer.least, layer.most] = extent(values);
    return values;
  }

  /** Mark a hotspot. */
  choose(hotspotNumber) {
    this.#chosen = hotspotNumber;
    this.#repaint();
  }

  /** Draw everything anew. */
  refresh() {
    return this.#paint().catch((problem) => this.#tell(problem.message, true));
  }

  async #paint() {
    const painting = ++this.#painting;
    const { mode, classes } = this.#state;
    this.element.dataset.mode = mode;
    if (mode === 'side' && !this.#secondIsOpen && this.lead.viewer) {
      this.#secondIsOpen = true;
      this.second.open();
    }
    const layers = this.shownLayers;
    const loaded = await Promise.all(
      layers.map(async (layer) => {
        if (!layer) return null;
        const values = await this.values(layer.name);
        return { layer, values, range: this.#state.range(layer) };
      }),
    );
    const tissue = classes && this.#view.tissue_classes ? await this.values('tissue-class') : null;
    if (painting !== this.#painting) return; // something else was chosen meanwhile
    const paint = (one) => one && paintLayer(this.grid, one, this.#state);
    let pictures;
    if (tissue) {
      const colors = this.#view.tissue_classes.map(({ color }) => color);
      pictures = this.all.map(() => paintClasses(this.grid, tissue, colors));
    } else if (mode === 'blend') {
      pictures = [loaded[0] && loaded[1] ? paintBlend(this.grid, loaded[0], loaded[1], this.#state) : paint(loaded[0] ?? loaded[1])];
    } else {
      pictures = loaded.map(paint);
    }
    this.all.forEach((pane, index) => {
      pane.scene = { ...pane.scene, grid: this.grid, picture: pictures[index] ?? null };
      pane.element.dataset.shown = tissue ? 'tissue-class' : (layers[index]?.name ?? '');
      this.#captions[index].textContent = mode === 'side' ? (layers[index]?.label ?? 'No map chosen') : '';
    });
    this.#repaint();
    this.#tell(this.#words(layers));
  }

  /** What the legends of an exported picture say. */
  legends() {
    const layers = this.shownLayers;
    if (this.#state.mode === 'blend' && layers[0] && layers[1]) {
      const [first, second] = layers;
      const range = (layer) => this.#state.range(layer).map((limit) => number(limit)).join('–');
      return [
        {
          isBlend: true,
          title: `${first.label} (orange) and ${second.label} (blue)`,
          text: `${range(first)} and ${range(second)} ${first.unit}, predicted`,
          name: `${first.label}-${second.label}`,
        },
      ];
    }
    return layers.map((layer) => layer && { layer, range: this.#state.range(layer), name: layer.label });
  }

  #best() {
    const byR = (one, other) => (other.held_out?.r ?? -1) - (one.held_out?.r ?? -1);
    const genes = this.#view.layers.filter(({ kind }) => kind === 'gene').sort(byR);
    return genes.find(({ status }) => status === 'supported') ?? genes[0];
  }

  #react(changed) {
    if ([...changed].some((name) => ['first', 'second', 'mode', 'colors', 'hideOutside', 'classes', 'ranges'].includes(name))) {
      this.refresh();
    } else if (!changed.has('place')) {
      this.#repaint();
    }
  }

  #repaint() {
    const { opacity, masked, hotspots, mode } = this.#state;
    const layers = this.shownLayers;
    this.all.forEach((pane, index) => {
      const labels = (mode === 'blend' ? layers : [layers[index]]).map((layer) => layer?.label);
      const outlined = hotspots ? this.#view.hotspots.filter(({ gene }) => labels.includes(gene)) : [];
      pane.show({ ...pane.scene, opacity, masked, hotspots: outlined, chosen: this.#chosen });
    });
  }

  #words(layers) {
    const hidden = this.hidden.get(this.#state.first);
    if (hidden) return `${hidden.label}: not supported, hidden. ${hidden.reason}`;
    return layers
      .filter(Boolean)
      .map((layer) => [`${layer.label} shown`, standing(layer), evidence(layer.held_out)].filter(Boolean).join(', '))
      .join('; ');
  }
}
