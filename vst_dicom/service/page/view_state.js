/** What the slide view shows, and the address that brings it back. */

export const MODES = ['one', 'side', 'blend'];

const DEFAULTS = {
  first: '',
  second: '',
  slot: 'first',
  mode: 'one',
  opacity: 0.65,
  colors: 'viridis',
  hideOutside: false,
  hotspots: true,
  masked: true,
  classes: false,
  ranges: {},
  place: null,
};

/** Keeps the state and tells whoever listens what changed. */
export class ViewState {
  #listeners = [];

  constructor(text) {
    Object.assign(this, structuredClone(DEFAULTS), parse(text));
  }

  /** Change some of it; listeners hear the names of what is new. */
  set(changes) {
    const changed = Object.keys(changes).filter((name) => this[name] !== changes[name]);
    Object.assign(this, changes);
    if (changed.length) this.#listeners.forEach((listen) => listen(new Set(changed)));
  }

  listen(listener) {
    this.#listeners.push(listener);
  }

  range(layer) {
    return this.ranges[layer.name] ?? [layer.least, layer.most > layer.least ? layer.most : layer.least + 1];
  }

  /** As the query of an address; only what differs from the defaults. */
  toQuery() {
    const query = new URLSearchParams();
    for (const name of ['first', 'second', 'mode', 'colors']) {
      if (this[name] !== DEFAULTS[name]) query.set(name, this[name]);
    }
    for (const name of ['hideOutside', 'hotspots', 'masked', 'classes']) {
      if (this[name] !== DEFAULTS[name]) query.set(name, this[name] ? '1' : '0');
    }
    if (this.opacity !== DEFAULTS.opacity) query.set('opacity', String(this.opacity));
    for (const [name, [low, high]] of Object.entries(this.ranges)) query.append('range', `${name}~${low}~${high}`);
    if (this.place) query.set('at', this.place.map((part) => Number(part.toPrecision(5))).join(','));
    return query.toString();
  }
}

function parse(text) {
  const query = new URLSearchParams(text);
  const found = {};
  for (const name of ['first', 'second', 'colors']) if (query.get(name)) found[name] = query.get(name);
  if (MODES.includes(query.get('mode'))) found.mode = query.get('mode');
  for (const name of ['hideOutside', 'hotspots', 'masked', 'classes']) {
    if (query.has(name)) found[name] = query.get(name) === '1';
  }
  const opacity = Number(query.get('opacity') ?? NaN);
  if (opacity >= 0 && opacity <= 1) found.opacity = opacity;
  found.ranges = {};
  for (const part of query.getAll('range')) {
    const [name, low, high] = part.split('~');
    if (Number(low) < Number(high)) found.ranges[name] = [Number(low), Number(high)];
  }
  const place = (query.get('at') ?? '').split(',').map(Number);
  if (place.length === 3 && place.every(Number.isFinite) && place[2] > 0) found.place = place;
  return found;
}
