/** How the map is drawn, and the facts of a result. */

import { MAP_NAMES, colorTable } from './color_maps.js';
import { h, svg } from './element.js';
import { exportList } from './exporting.js';
import { number, tail } from './words.js';

const MODE_NAMES = { one: 'One map', side: 'Side by side', blend: 'Blended' };

/** Switches and sliders; returns the element and how to show the present state. */
export function displayTab(view, state) {
  const updates = [];
  const choice = (legend, name, options, draw) =>
    h(
      'fieldset',
      { class: `choice ${name}` },
      h('legend', {}, legend),
      ...options.map(([value, title]) => {
        const input = h('input', { type: 'radio', name, value, onchange: () => state.set({ [name]: value }) });
        updates.push(() => {
          input.checked = state[name] === value;
        });
        return h('label', {}, input, draw?.(value), h('span', {}, title));
      }),
    );
  const toggle = (name, title, isPossible = true) => {
    const input = h('input', { type: 'checkbox', disabled: !isPossible, onchange: () => state.set({ [name]: input.checked }) });
    updates.push(() => {
      input.checked = state[name];
    });
    return h('label', { class: 'switch' }, input, title);
  };
  const opacity = h('input', {
    type: 'range',
    min: '0',
    max: '1',
    step: '0.05',
    'aria-label': 'Opacity of the map',
    oninput: () => state.set({ opacity: Number(opacity.value) }),
  });
  const opacityText = h('output');
  updates.push(() => {
    opacity.value = String(state.opacity);
    opacityText.textContent = `${Math.round(state.opacity * 100)} %`;
    opacity.setAttribute('aria-valuetext', opacityText.textContent);
  });
  const element = h(
    'div',
    { class: 'display' },
    h('div', { class: 'opacity' }, h('span', { 'aria-hidden': 'true' }, 'Opacity'), opacity, opacityText),
    choice('Maps', 'mode', Object.entries(MODE_NAMES)),
    choice('Colors', 'colors', MAP_NAMES.map((name) => [name, name]), swatch),
    toggle('hotspots', 'Hotspots of the chosen gene'),
    toggle('masked', 'Hatch masked tissue'),
    toggle('hideOutside', 'Hide tiles outside the range'),
    toggle('classes', view.tissue_classes ? 'Tissue classes' : 'Tissue classes (this model knows none)', Boolean(view.tissue_classes)),
  );
  return { element, update: () => updates.forEach((one) => one()) };
}

function swatch(name) {
  const table = colorTable(name);
  const cells = Array.from({ length: 24 }, (_, step) => {
    const index = Math.round((step / 23) * 255) * 3;
    return svg('rect', { x: step, y: 0, width: 1.05, height: 1, fill: `rgb(${table[index]},${table[index + 1]},${table[index + 2]})` });
  });
  return svg('svg', { class: 'swatch-map', viewBox: '0 0 24 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...cells);
}

/** Where the result comes from, its warnings, and its files. */
export function aboutTab(view, onPicture) {
  const { slide, grid, bundle } = view;
  const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, ...value));
  return h(
    'div',
    { class: 'about' },
    h('p', { class: 'notice-block' }, view.notice),
    h('p', {}, 'All values are predicted from the look of the tissue. Nothing was measured.'),
    view.warnings.length
      ? h('section', { 'aria-label': 'Warnings' }, h('h3', {}, 'Know this first'), h('ul', { class: 'warnings' }, ...view.warnings.map((text) => h('li', {}, text))))
      : null,
    h('h3', {}, 'Export'),
    exportList(view.key, onPicture),
    h('h3', {}, 'Facts'),
    h(
      'dl',
      { class: 'facts' },
      fact('Model', h('a', { href: `#/bundles/${bundle.id}` }, `${bundle.id} ${bundle.version}`), h('br'), h('span', { class: 'quiet' }, bundle.description)),
      fact('Slide series', h('code', { title: slide.series_instance_uid }, tail(slide.series_instance_uid))),
      fact('Predicted', new Date(view.created).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })),
      grid ? fact('Tiles', `${grid.n_tiles.toLocaleString('en')} of ${tileSize(slide, grid)}, ${grid.n_masked.toLocaleString('en')} masked`) : null,
      fact(
        'Pixel spacing',
        `${number(slide.spacing_um[1], 3)} × ${number(slide.spacing_um[0], 3)} µm${slide.spacing_assumed ? ', assumed: the slide does not say' : ''}`,
      ),
      view.interval_note ? fact('Intervals', view.interval_note) : null,
    ),
  );
}

function tileSize(slide, grid) {
  const um = [grid.tile_n_columns * slide.spacing_um[1], grid.tile_n_rows * slide.spacing_um[0]];
  return `${um.map((length) => Math.round(length)).join(' × ')} µm`;
}
