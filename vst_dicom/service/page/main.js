/** Which page an address names. */

import { bundlesPage } from './bundles.js';
import { destinationsPage } from './destinations.js';
import { h, replace } from './element.js';
import { loginPage, showWho } from './session.js';
import { slidePage } from './slide_page.js';
import { worklistPage } from './worklist.js';

const ROUTES = [
  [/^#?\/?$/, worklistPage, 'slides'],
  [/^#\/slide\/([0-9a-f]{64})(?:\?(.*))?$/, slidePage, ''],
  [/^#\/destinations$/, destinationsPage, 'destinations'],
  [/^#\/bundles(?:\/([A-Za-z0-9._-]+))?$/, bundlesPage, 'bundles'],
];

const main = document.querySelector('main');
const who = document.querySelector('.who-am-i');
let leave = () => {};

function show() {
  leave();
  const [, page, tab, parts] =
    ROUTES.map(([pattern, ...rest]) => [pattern, ...rest, location.hash.match(pattern)]).find(([, , , found]) => found) ?? [];
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.tab === tab) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.body.classList.toggle('on-slide', page === slidePage);
  if (!page) {
    leave = () => {};
    replace(main, h('div', { class: 'message' }, h('h1', {}, 'There is no such page'), h('a', { href: '#/' }, 'To the slides')));
    return;
  }
  leave = page(main, ...parts.slice(1)) ?? (() => {});
}

window.addEventListener('hashchange', show);
document.addEventListener('login-needed', () => {
  leave();
  leave = () => {};
  const goOn = () => {
    showWho(who);
    show();
  };
  setTimeout(() => loginPage(main, goOn)); // after the page that asked has said its own
});
show();
showWho(who);
