/** What the colors mean: unit, range, how values spread, and the held-out evidence in words. */

import { blendColor } from './color_maps.js';
import { h, replace, svg } from './element.js';
import { evidence, number, reason, standing } from './words.js';

const N_BINS = 48;
const PLOT = { width: 240, height: 44 };
const BAR_STEPS = 64;

/** Legend of one layer with sliders for its range; `table` holds its colors. */
export function layerLegend({ layer, values, range, table, onRange }) {
  const bounds = [layer.least, layer.most > layer.least ? layer.most : layer.least + 1];
  const inputs = ['lowest', 'highest'].map((which, index) =>
    h('input', {
      type: 'range',
      class: 'limit',
      min: String(bounds[0]),
      max: String(bounds[1]),
      step: String((bounds[1] - bounds[0]) / 200),
      value: String(range[index]),
      'aria-label': `Value of the ${which} color, ${layer.label}`,
      'aria-valuetext': number(range[index]),
      oninput: () => changeRange(index),
      onchange: () => changeRange(index),
    }),
  );
  const limits = [h('output'), h('output')];

  function changeRange(index) {
    const least = (bounds[1] - bounds[0]) / 100;
    const asked = inputs.map((input) => Number(input.value));
    asked[index] = index ? Math.max(asked[1], asked[0] + least) : Math.min(asked[0], asked[1] - least);
    inputs[index].value = String(asked[index]);
    show(asked);
    onRange(layer, asked);
  }

  function show(shown) {
    shown.forEach((limit, index) => {
      limits[index].textContent = number(limit);
      inputs[index].setAttribute('aria-valuetext', number(limit));
    });
    paintBins(bins, values, bounds, shown, table);
  }

  const bins = svg('svg', {
    class: 'histogram',
    viewBox: `0 0 ${PLOT.width} ${PLOT.height}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `How predicted values spread over ${values.length} tiles`,
  });
  show(range);
  return h(
    'div',
    { class: 'legend-scale' },
    bins,
    h('div', { class: 'bar-box' }, bar(table), ...inputs),
    h('div', { class: 'limits' }, limits[0], h('span', { class: 'unit' }, layer.unit), limits[1]),
  );
}

function bar(table) {
  const cells = Array.from({ length: BAR_STEPS }, (_, step) => {
    const index = Math.round((step / (BAR_STEPS - 1)) * 255) * 3;
    return svg('rect', {
      x: step,
      y: 0,
      width: 1.05,
      height: 1,
      fill: `rgb(${table[index]},${table[index + 1]},${table[index + 2]})`,
    });
  });
  return svg(
    'svg',
    { class: 'bar', viewBox: `0 0 ${BAR_STEPS} 1`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    ...cells,
  );
}

function paintBins(plot, values, [least, most], [low, high], table) {
  const counts = new Array(N_BINS).fill(0);
  for (const value of values) {
    counts[Math.min(Math.floor(((value - least) / (most - least)) * N_BINS), N_BINS - 1)] += 1;
  }
  const top = Math.max(...counts, 1);
  const width = PLOT.width / N_BINS;
  const bars = counts.map((n, bin) => {
    const value = least + ((bin + 0.5) / N_BINS) * (most - least);
    const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    const index = Math.round(share * 255) * 3;
    const height = n ? Math.max((n / top) * PLOT.height, 1) : 0;
    return svg('rect', {
      x: bin * width,
      y: PLOT.height - height,
      width: width - 0.6,
      height,
      fill: `rgb(${table[index]},${table[index + 1]},${table[index + 2]})`,
      class: value < low || value > high ? 'outside' : 'inside',
    });
  });
  replace(plot, ...bars);
}

/** Legend of two layers that are blended. */
export function blendLegend(first, second) {
  const n = 8;
  const cells = [];
  for (let row = 0; row < n; row += 1) {
    for (let column = 0; column < n; column += 1) {
      const color = blendColor(column / (n - 1), row / (n - 1));
      cells.push(svg('rect', { x: column, y: n - 1 - row, width: 1.04, height: 1.04, fill: `rgb(${color.join(',')})` }));
    }
  }
  return h(
    'div',
    { class: 'legend-blend' },
    h('span', { class: 'up' }, `${second.label} →`),
    svg('svg', { viewBox: `0 0 ${n} ${n}`, role: 'img', 'aria-label': `Colors of ${first.label} and ${second.label} together` }, ...cells),
    h('span', { class: 'across' }, `${first.label} →`),
  );
}

/** Name of a layer and what supports it. */
export function heading(layer) {
  const word = standing(layer);
  return h(
    'div',
    { class: 'legend-head' },
    h('h2', {}, layer.label),
    word ? h('span', { class: `chip ${layer.status}` }, word) : null,
  );
}

/** The evidence in words; a longer reason can be unfolded, that of an exploratory layer is, where there is room. */
export function evidenceText(layer, hasRoom) {
  return h(
    'div',
    { class: 'evidence' },
    evidence(layer.held_out) ? h('p', { class: 'figure' }, evidence(layer.held_out)) : null,
    layer.coverage ? h('p', {}, layer.coverage) : null,
    layer.ranks_only ? h('p', {}, 'Read the order of values only, not their differences.') : null,
    h('details', { open: hasRoom && layer.status === 'exploratory' }, h('summary', {}, 'Why it is shown'), h('p', {}, reason(layer)), layer.note ? h('p', {}, layer.note) : null),
  );
}

/** What is said of something that is not shown. */
export function hiddenLegend(hidden) {
  return h(
    'div',
    { class: 'legend-hidden' },
    heading({ ...hidden, status: 'hidden' }),
    h('p', {}, reason(hidden)),
    evidence(hidden.held_out) ? h('p', { class: 'figure' }, evidence(hidden.held_out)) : null,
    h('p', { class: 'quiet' }, 'No values of it are shown, written or sent.'),
  );
}

/** Kinds of tissue and their colors. */
export function classLegend(classes) {
  return h(
    'ul',
    { class: 'classes' },
    ...classes.map(({ name, n_tiles: n, color }) =>
      h(
        'li',
        {},
        svg('svg', { viewBox: '0 0 1 1', class: 'swatch', 'aria-hidden': 'true' }, svg('rect', { width: 1, height: 1, fill: `rgb(${color.join(',')})` })),
        h('span', {}, name),
        h('span', { class: 'quiet' }, `${n.toLocaleString('en')} tiles`),
      ),
    ),
  );
}
