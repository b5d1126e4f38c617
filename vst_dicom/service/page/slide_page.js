/** The slide view: loads a result, joins slide, map and panel. */

import { getJson, getLayer } from './api.js';
import { MAP_NAMES } from './color_maps.js';
import { h, icon, replace } from './element.js';
import { savePicture } from './exporting.js';
import { keysDialog, listenToKeys } from './keyboard.js';
import { Maps } from './maps.js';
import { boundsOf } from './overlay.js';
import { Panel } from './panel.js';
import { TileGrid } from './raster.js';
import { Readout } from './readout.js';
import { ScaleBar } from './scale_bar.js';
import { ViewState } from './view_state.js';
import { tail } from './words.js';

const LINK_MS = 250;
const MOVE_PX = 90;
const ZOOM = 1.6;
const TISSUE_MARGIN = 1.5; // tiles around the tissue in the first view

/** Show a result; returns how to leave. */
export function slidePage(main, key, query) {
  const leaving = new AbortController();
  replace(main, h('div', { class: 'message', role: 'status' }, 'Opening the slide …'));
  let page = null;
  load(key).then(
    ([view, grid]) => {
      if (!leaving.signal.aborted) page = new SlidePage(main, view, grid, new ViewState(query), leaving.signal);
    },
    (problem) => replace(main, h('div', { class: 'message' }, h('h1', {}, 'This result cannot be shown'), h('p', {}, problem.message))),
  );
  return () => {
    leaving.abort();
    page?.close();
  };
}

async function load(key) {
  const [view, cells, masked] = await Promise.all([
    getJson(`/results/${key}/view`),
    getLayer(key, 'cells').catch(() => new Uint16Array()),
    getLayer(key, 'masked-cells').catch(() => new Uint16Array()),
  ]);
  const tile = { nRows: view.grid?.tile_n_rows ?? 1, nColumns: view.grid?.tile_n_columns ?? 1 };
  return [view, new TileGrid(cells, masked, tile)];
}

class SlidePage {
  #view;
  #state;
  #status = h('p', { class: 'hidden-text', role: 'status', 'aria-live': 'polite' });
  #toast = h('p', { class: 'toast', 'aria-hidden': 'true' });
  #keys = keysDialog();
  #scaleBar = new ScaleBar();
  #linking = 0;
  #chosen = null;

  constructor(main, view, grid, state, signal) {
    this.#view = view;
    this.#state = state;
    this.state = state;
    if (!MAP_NAMES.includes(state.colors)) state.colors = MAP_NAMES[0];
    document.title = `Slide ${tail(view.slide.series_instance_uid)} · vst_dicom`;
    this.maps = new Maps(view, grid, state, (text, isSeen = false) => this.#say(text, isSeen));
    this.readout = new Readout(this.maps);
    this.panel = new Panel(view, state, this.maps, {
      flyTo: (hotspot) => this.#flyTo(hotspot),
      savePicture: () => this.#savePicture(),
      leaveSearch: () => this.maps.lead.focus(),
    });
    replace(main, this.#build());
    if (view.slide.levels.length || view.slide.picture) this.maps.open();
    this.#listen(signal);
    this.maps.refresh();
    window.slidePage = this; // for the console and for tests
  }

  close() {
    clearTimeout(this.#linking);
    this.maps.close();
    delete window.slidePage;
  }

  #build() {
    const tool = (name, label, action) =>
      h('button', { type: 'button', class: 'tool', title: label, 'aria-label': label, onclick: action }, icon(name));
    const { unreadable } = this.#view.slide;
    return h(
      'div',
      { class: 'slide-page' },
      h('h1', { class: 'hidden-text' }, 'Predicted gene maps of a slide'),
      h(
        'section',
        { class: 'stage', 'aria-label': 'Slide' },
        this.maps.element,
        h(
          'div',
          { class: 'tools', role: 'toolbar', 'aria-label': 'View' },
          tool('plus', 'Zoom in', () => this.maps.lead.zoomBy(ZOOM)),
          tool('minus', 'Zoom out', () => this.maps.lead.zoomBy(1 / ZOOM)),
          tool('home', 'Whole slide', () => this.maps.lead.home()),
          h('span', { class: 'gap' }),
          tool('link', 'Copy a link to this view', () => this.#copyLink()),
          tool('save', 'Export', () => this.panel.open('about')),
          tool('help', 'Keys', () => this.#keys.showModal()),
        ),
        h('div', { class: 'ground' }, this.readout.element, this.#scaleBar.element),
        unreadable ? h('p', { class: 'stage-fault', role: 'alert' }, `The slide itself cannot be shown: ${unreadable}`) : null,
        this.#toast,
      ),
      this.panel.element,
      this.#status,
      this.#keys,
    );
  }

  #listen(signal) {
    const { lead } = this.maps;
    lead.onMove((what) => {
      if (what === 'open') {
        if (this.#state.place) lead.goTo(this.#state.place);
        else if (this.maps.grid.nTiles) lead.fit(this.maps.grid.bounds(TISSUE_MARGIN));
        lead.element.dataset.open = 'true';
      }
      this.#showScale();
      this.readout.update();
      if (what === 'animation-finish') this.#state.set({ place: lead.place });
    });
    this.#state.listen(() => {
      clearTimeout(this.#linking);
      this.#linking = setTimeout(() => history.replaceState(null, '', this.#link()), LINK_MS);
    });
    for (const pane of this.maps.all) {
      for (const name of ['pointermove', 'pointerdown']) {
        pane.element.addEventListener(name, (event) => this.readout.follow(pane, event), { signal });
      }
      pane.element.addEventListener('pointerleave', (event) => this.readout.leave(event), { signal });
    }
    listenToKeys(this.#actions(), signal);
  }

  #actions() {
    const state = this.#state;
    const { lead } = this.maps;
    const flip = (name) => () => state.set({ [name]: !state[name] });
    const fade = (by) => () => state.set({ opacity: Math.min(Math.max(Math.round((state.opacity + by) * 20) / 20, 0), 1) });
    return {
      '/': () => this.panel.search(),
      '[': () => this.panel.step(-1),
      ']': () => this.panel.step(1),
      n: () => this.#nextHotspot(1),
      p: () => this.#nextHotspot(-1),
      '+': () => lead.zoomBy(ZOOM),
      '=': () => lead.zoomBy(ZOOM),
      '-': () => lead.zoomBy(1 / ZOOM),
      0: () => lead.home(),
      ArrowLeft: () => this.#move(-MOVE_PX, 0),
      ArrowRight: () => this.#move(MOVE_PX, 0),
      ArrowUp: () => this.#move(0, -MOVE_PX),
      ArrowDown: () => this.#move(0, MOVE_PX),
      v: async () => this.#say(await this.readout.atCenter(), false),
      o: fade(-0.1),
      O: fade(0.1),
      1: () => state.set({ mode: 'one' }),
      2: () => state.set({ mode: 'side' }),
      3: () => state.set({ mode: 'blend' }),
      m: () => state.set({ colors: MAP_NAMES[(MAP_NAMES.indexOf(state.colors) + 1) % MAP_NAMES.length] }),
      h: flip('hotspots'),
      c: () => this.#view.tissue_classes && state.set({ classes: !state.classes }),
      l: () => this.#copyLink(),
      e: () => this.panel.open('about'),
      '?': () => this.#keys.showModal(),
    };
  }

  #move(across, down) {
    this.maps.lead.panBy(across, down);
    this.readout.atCenter();
  }

  #flyTo(hotspot) {
    this.#chosen = hotspot.number;
    const layer = this.#view.layers.find(({ kind, label }) => kind === 'gene' && label === hotspot.gene);
    if (layer && this.#state.mode === 'one') this.#state.set({ first: layer.name });
    this.#state.set({ hotspots: true, classes: false });
    this.maps.choose(hotspot.number);
    this.panel.choose(hotspot.number);
    const box = boundsOf(hotspot);
    if (box) this.maps.lead.flyTo(box);
    this.#say(`Hotspot ${hotspot.number} of ${hotspot.gene}`, false);
  }

  #nextHotspot(by) {
    const { hotspots } = this.#view;
    if (!hotspots.length) return;
    const at = hotspots.findIndex(({ number }) => number === this.#chosen);
    const next = at < 0 ? (by > 0 ? 0 : hotspots.length - 1) : (at + by + hotspots.length) % hotspots.length;
    this.panel.open('hotspots');
    this.#flyTo(hotspots[next]);
  }

  #showScale() {
    const { transform } = this.maps.lead;
    if (transform) this.#scaleBar.show(this.#view.slide.spacing_um[1] / transform.scale, this.#view.slide.spacing_assumed);
  }

  #link() {
    const query = this.#state.toQuery();
    return `${location.pathname}#/slide/${this.#view.key}${query ? `?${query}` : ''}`;
  }

  async #copyLink() {
    this.#state.place = this.maps.lead.place;
    history.replaceState(null, '', this.#link());
    try {
      await navigator.clipboard.writeText(location.href);
      this.#say('Link copied');
    } catch (error) {
      this.#say('The link is in the address bar');
    }
  }

  #savePicture() {
    const legends = this.maps.legends();
    return savePicture({
      panes: this.maps.shownPanes,
      legends,
      scaleBar: this.#scaleBar,
      colors: this.#state.colors,
      notice: this.#view.notice,
      name: `predicted-${legends.map((legend) => legend?.name ?? 'slide').join('-')}.png`,
    });
  }

  #say(text, isSeen = true) {
    if (!text) return;
    this.#status.textContent = text;
    if (!isSeen) return;
    this.#toast.textContent = text;
    this.#toast.classList.remove('seen');
    void this.#toast.offsetWidth; // restart the transition
    this.#toast.classList.add('seen');
  }
}
