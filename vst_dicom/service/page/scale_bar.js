/** Length on the slide, from its pixel spacing. */

import { h, replace, svg } from './element.js';

const MOST_PX = 130;
const STEPS = [1, 2, 5];

/** A round length in micrometers that fits into the widest bar. */
export function roundLength(mostUm) {
  const decade = 10 ** Math.floor(Math.log10(mostUm));
  return decade * STEPS.filter((step) => step * decade <= mostUm).at(-1);
}

export function lengthText(um) {
  return um >= 1000 ? `${um / 1000} mm` : `${um} µm`;
}

export class ScaleBar {
  element = h('div', { class: 'scale-bar' });
  lengthPx = 0;
  text = '';
  #width = 0;

  /** @param umPerPx Micrometers per screen pixel. */
  show(umPerPx, isAssumed) {
    const um = roundLength(MOST_PX * umPerPx);
    this.lengthPx = um / umPerPx;
    const [text, width] = [lengthText(um) + (isAssumed ? ' (spacing assumed)' : ''), Math.round(this.lengthPx)];
    if (text === this.text && width === this.#width) return;
    [this.text, this.#width] = [text, width];
    replace(
      this.element,
      h('span', {}, this.text),
      svg('svg', { width, height: 6, viewBox: `0 0 ${width} 6`, 'aria-hidden': 'true' }, svg('path', { d: `M.75 0v5.25h${width - 1.5}V0` })),
    );
  }
}
