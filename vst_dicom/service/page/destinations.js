/** Where results go, and how deliveries there stand. */

import { getJson } from './api.js';
import { h, replace } from './element.js';

const COUNTS = [
  ['waiting', 'on their way', 'busy'],
  ['sent', 'sent', 'good'],
  ['committed', 'received', 'good'],
  ['parked', 'stopped', 'fault'],
];
const LAST = { waiting: 'on its way', sent: 'sent', committed: 'received', parked: 'stopped' };

/** Show all destinations. */
export function destinationsPage(main) {
  document.title = 'Destinations · vst_dicom';
  replace(main, h('div', { class: 'message', role: 'status' }, 'Asking the server …'));
  let isLeft = false;
  getJson('/destinations').then(
    (answer) => !isLeft && replace(main, list(answer.destinations)),
    (problem) => !isLeft && replace(main, h('div', { class: 'message' }, h('h1', {}, 'Destinations'), h('p', {}, problem.message))),
  );
  return () => {
    isLeft = true;
  };
}

function list(destinations) {
  return h(
    'div',
    { class: 'page' },
    h('div', { class: 'page-head' }, h('h1', {}, 'Destinations')),
    h(
      'p',
      { class: 'quiet' },
      destinations.length
        ? 'Where results are sent. The settings of the server name them.'
        : 'Results stay here: the settings of the server name no destination.',
    ),
    h('ul', { class: 'cards' }, ...destinations.map(card)),
  );
}

function card({ name, kind, ae_title: aeTitle, address, tls, storage_commitment: isCommitted, deliveries, last }) {
  const way = [kind === 'dicom' ? `C-STORE to ${aeTitle}` : 'STOW-RS', address, tls ? 'TLS' : 'without TLS', isCommitted && 'storage commitment'];
  const counts = COUNTS.filter(([state]) => deliveries[state]).map(([state, title, tone]) =>
    h('span', { class: `state ${tone}` }, `${deliveries[state].toLocaleString('en')} ${title}`),
  );
  return h(
    'li',
    {},
    h('h2', {}, name),
    h('p', { class: 'quiet address' }, way.filter(Boolean).join(' · ')),
    h('p', { class: 'counts' }, ...(counts.length ? counts : [h('span', { class: 'quiet' }, 'Nothing was sent there yet.')])),
    last ? h('p', { class: 'quiet' }, `Last: ${LAST[last.state] ?? last.state}${last.reason ? `: ${last.reason}` : ''}`) : null,
    last?.next_attempt_at ? h('p', { class: 'quiet' }, `Next try at ${new Date(last.next_attempt_at).toLocaleTimeString('en', { timeStyle: 'short' })}`) : null,
  );
}
