/** Models and their cards. */

import { API, getJson } from './api.js';
import { h, replace } from './element.js';

/** Show the list, or the card of one. */
export function bundlesPage(main, id) {
  document.title = `${id ?? 'Models'} · vst_dicom`;
  replace(main, h('div', { class: 'message', role: 'status' }, 'Asking the server …'));
  let isLeft = false;
  getJson(id ? `/bundles/${id}` : '/bundles').then(
    (answer) => !isLeft && replace(main, id ? card(answer) : list(answer.bundles)),
    (problem) => !isLeft && replace(main, h('div', { class: 'message' }, h('h1', {}, 'Models'), h('p', {}, problem.message))),
  );
  return () => {
    isLeft = true;
  };
}

function list(bundles) {
  return h(
    'div',
    { class: 'page' },
    h('div', { class: 'page-head' }, h('h1', {}, 'Models')),
    h('p', { class: 'quiet' }, 'What each model may show, and what held-out tissue says of it.'),
    h(
      'ul',
      { class: 'bundles' },
      ...bundles.map((bundle) =>
        h(
          'li',
          {},
          h('h2', {}, h('a', { href: `#/bundles/${bundle.id}` }, bundle.id), h('span', { class: 'quiet' }, ` ${bundle.version}`)),
          h('p', {}, bundle.description),
          h('p', { class: 'quiet' }, `${bundle.n_shown} of ${bundle.n_genes} genes shown${bundle.is_default ? ' · used where no rule says otherwise' : ''}`),
          bundle.problem ? h('p', { class: 'fault' }, bundle.problem) : null,
        ),
      ),
    ),
  );
}

function card(bundle) {
  return h(
    'div',
    { class: 'page card' },
    h('div', { class: 'page-head' }, h('h1', {}, bundle.id, h('span', { class: 'quiet' }, ` ${bundle.version}`)), h('a', { href: '#/bundles' }, 'All models')),
    bundle.has_card
      ? h('iframe', { src: `${API}/bundles/${bundle.id}/card`, title: `Card of ${bundle.id}`, sandbox: '' })
      : h('p', {}, bundle.description, ' This model has no card.'),
  );
}
