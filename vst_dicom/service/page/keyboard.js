/** Keys of the slide view, and the dialog that lists them. */

import { h } from './element.js';

const SETTING = 'vst-dicom.letter-keys';

export const KEYS = [
  ['/', 'Search genes and signatures'],
  ['Esc', 'Back from the list to the slide'],
  ['[ ]', 'Previous, next gene'],
  ['n p', 'Fly to the next, the previous hotspot'],
  ['+ −', 'Zoom in, out'],
  ['0', 'Whole slide'],
  ['← ↑ → ↓', 'Move'],
  ['v', 'Say the value in the middle of the view'],
  ['o O', 'Less, more opacity of the map'],
  ['1 2 3', 'One map, two side by side, two blended'],
  ['m', 'Next color map'],
  ['h', 'Hotspots on or off'],
  ['c', 'Tissue classes on or off'],
  ['l', 'Copy a link to this view'],
  ['e', 'Export'],
  ['?', 'These keys'],
];

/** Call actions by key; letters count only where nobody types, and not once they are switched off. */
export function listenToKeys(actions, signal) {
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.target.closest('input:not([type=range]):not([type=checkbox]), textarea, dialog, [role=listbox]')) return;
      const isArrow = event.key.startsWith('Arrow');
      if (isArrow && event.target.closest('input, [role=tablist], [role=radiogroup], .panel')) return;
      if (!isArrow && event.key.length === 1 && !lettersAreOn()) return;
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    },
    { signal },
  );
}

function lettersAreOn() {
  try {
    return localStorage.getItem(SETTING) !== 'off';
  } catch (error) {
    return true; // storage is forbidden here
  }
}

/** Dialog with all keys and a switch for single letters (WCAG 2.1.4). */
export function keysDialog() {
  const box = h('input', {
    type: 'checkbox',
    checked: lettersAreOn(),
    onchange: () => localStorage.setItem(SETTING, box.checked ? 'on' : 'off'),
  });
  return h(
    'dialog',
    { class: 'keys', 'aria-labelledby': 'keys-title' },
    h('form', { method: 'dialog' }, h('h2', { id: 'keys-title' }, 'Keys'), h('button', { class: 'plain', 'aria-label': 'Close' }, '✕')),
    h('dl', {}, ...KEYS.map(([key, what]) => h('div', {}, h('dt', {}, ...key.split(' ').map((one) => h('kbd', {}, one))), h('dd', {}, what)))),
    h('label', { class: 'switch' }, box, 'Keys of one letter or sign'),
  );
}
