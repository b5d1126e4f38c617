/** Values of tiles as small pictures, one pixel per tile: nothing is interpolated. */

import { N_COLORS, blendColor, colorTable } from './color_maps.js';

/** Where tiles lie, and which tile lies where. */
export class TileGrid {
  constructor(cells, masked, tile) {
    this.cells = cells;
    this.masked = masked;
    this.tile = tile;
    this.nTiles = cells.length / 2;
    const all = [...pairs(cells), ...pairs(masked)];
    this.nRows = all.reduce((most, [row]) => Math.max(most, row + 1), 0);
    this.nColumns = all.reduce((most, [, column]) => Math.max(most, column + 1), 0);
    this.tileAt = new Int32Array(this.nRows * this.nColumns).fill(-1);
    for (const [tileIndex, [row, column]] of pairs(cells).entries()) {
      this.tileAt[row * this.nColumns + column] = tileIndex;
    }
    this.isMasked = new Set(pairs(masked).map(([row, column]) => row * this.nColumns + column));
    this.maskedRuns = this.#runs();
  }

  /** Masked cells side by side as one: `[row, first column, how many]`. */
  #runs() {
    const runs = [];
    let last = null;
    for (const cell of [...this.isMasked].sort((one, other) => one - other)) {
      const [row, column] = [Math.floor(cell / this.nColumns), cell % this.nColumns];
      if (last && last[0] === row && last[1] + last[2] === column) last[2] += 1;
      else runs.push((last = [row, column, 1]));
    }
    return runs;
  }

  /** Rectangle around all tiles and `margin` more on each side, in base pixels. */
  bounds(margin) {
    const { nRows: height, nColumns: width } = this.tile;
    const [rows, columns] = [0, 1].map((part) => pairs(this.cells).map((cell) => cell[part]));
    const [least, most] = [(list) => list.reduce((a, b) => Math.min(a, b)), (list) => list.reduce((a, b) => Math.max(a, b))];
    return {
      left: (least(columns) - margin) * width,
      top: (least(rows) - margin) * height,
      right: (most(columns) + 1 + margin) * width,
      bottom: (most(rows) + 1 + margin) * height,
    };
  }

  /** What lies at a place of the base level: `{tile}`, `{masked: true}` or nothing. */
  find(x, y) {
    const row = Math.floor(y / this.tile.nRows);
    const column = Math.floor(x / this.tile.nColumns);
    if (row < 0 || column < 0 || row >= this.nRows || column >= this.nColumns) return null;
    const cell = row * this.nColumns + column;
    if (this.tileAt[cell] >= 0) return { tile: this.tileAt[cell] };
    return this.isMasked.has(cell) ? { masked: true } : null;
  }
}

export function pairs(flat) {
  const found = [];
  for (let index = 0; index < flat.length; index += 2) found.push([flat[index], flat[index + 1]]);
  return found;
}

/** Least and largest value. */
export function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return values.length ? [least, most] : [0, 0];
}

/** Share of a value in its range, from 0 to 1. */
function share(value, [low, high]) {
  return Math.min(Math.max((value - low) / (high - low), 0), 1);
}

function isOutside(value, [low, high]) {
  return value < low || value > high;
}

/** One layer in the colors of a map. */
export function paintLayer(grid, { values, range }, { colors, hideOutside }) {
  const table = colorTable(colors);
  return paint(grid, (tile) => {
    if (hideOutside && isOutside(values[tile], range)) return null;
    const index = Math.round(share(values[tile], range) * (N_COLORS - 1)) * 3;
    return [table[index], table[index + 1], table[index + 2]];
  });
}

/** Two layers in the colors between two. */
export function paintBlend(grid, first, second, { hideOutside }) {
  return paint(grid, (tile) => {
    const [one, other] = [first.values[tile], second.values[tile]];
    if (hideOutside && isOutside(one, first.range) && isOutside(other, second.range)) return null;
    return blendColor(share(one, first.range), share(other, second.range));
  });
}

/** Kinds of tissue, each in its color. */
export function paintClasses(grid, classes, colors) {
  return paint(grid, (tile) => colors[classes[tile]]);
}

function paint(grid, colorOf) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(grid.nColumns, 1);
  canvas.height = Math.max(grid.nRows, 1);
  const context = canvas.getContext('2d');
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let tile = 0; tile < grid.nTiles; tile += 1) {
    const color = colorOf(tile);
    if (!color) continue;
    const start = (grid.cells[2 * tile] * grid.nColumns + grid.cells[2 * tile + 1]) * 4;
    picture.data.set(color, start);
    picture.data[start + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}
