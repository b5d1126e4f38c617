/** What came, what runs, what was held and why, what was sent where. */

import { API, getJson, post } from './api.js';
import { h, replace } from './element.js';
import { mayOperate, whoAmI } from './session.js';
import { count, since, tail } from './words.js';

const PAGE = 50;
const SEARCH_MS = 250;
const REFRESH_S = 60;

const FILTERS = [
  ['', 'All'],
  ['state=collecting', 'Arriving'],
  ['state=queued&job_state=queued&job_state=running', 'In work'],
  ['state=queued&job_state=done', 'Done'],
  ['state=queued&job_state=parked&job_state=refused&job_state=cancelled', 'Stopped'],
  ['state=held', 'Held'],
  ['state=ignored', 'Left out'],
];

const STATES = {
  collecting: ['Arriving', 'busy'],
  held: ['Held', 'wait'],
  ignored: ['Left out', 'quiet'],
  queued: ['Waiting', 'busy'],
  running: ['Running', 'busy'],
  done: ['Done', 'good'],
  refused: ['Refused', 'fault'],
  parked: ['Stopped', 'fault'],
  cancelled: ['Cancelled', 'quiet'],
};

const DELIVERIES = { waiting: ['on its way', 'busy'], sent: ['sent', 'good'], committed: ['received', 'good'], parked: ['stopped', 'fault'] };

const ACTIONS = {
  queued: [['cancel', 'Cancel']],
  running: [['cancel', 'Cancel']],
  parked: [['retry', 'Try again']],
  refused: [['retry', 'Try again']],
  cancelled: [['retry', 'Try again']],
  done: [],
};

/** Show the worklist; returns how to leave. */
export function worklistPage(main) {
  document.title = 'Slides · vst_dicom';
  const list = new Worklist();
  replace(main, list.element);
  list.open();
  return () => list.close();
}

class Worklist {
  #asked = { filter: '', search: '', offset: 0 };
  #isOperator = false;
  #rows = new Map();
  #total = 0;
  #body = h('ol', { class: 'slides' });
  #status = h('p', { class: 'quiet', role: 'status' }, 'Asking the server …');
  #pager = h('div', { class: 'pager' });
  #live = h('span', { class: 'live', title: 'Changes appear by themselves' });
  #events = null;
  #timers = [];
  #asking = 0;

  constructor() {
    let typing = 0;
    const search = h('input', {
      type: 'search',
      class: 'search',
      placeholder: 'Search by UID',
      'aria-label': 'Search slides by UID',
      oninput: () => {
        clearTimeout(typing);
        typing = setTimeout(() => this.#ask({ search: search.value.trim(), offset: 0 }), SEARCH_MS);
      },
    });
    const filters = FILTERS.map(([filter, title]) =>
      h('button', { type: 'button', class: 'filter', 'aria-pressed': String(!filter), onclick: (event) => this.#filter(filter, event) }, title),
    );
    this.element = h(
      'div',
      { class: 'page worklist' },
      h('div', { class: 'page-head' }, h('h1', {}, 'Slides'), this.#live),
      h('div', { class: 'bar-row' }, h('div', { class: 'filters', role: 'group', 'aria-label': 'State' }, ...filters), search),
      this.#status,
      this.#body,
      this.#pager,
    );
  }

  open() {
    this.#ask({});
    this.#events = new EventSource(`${API}/events`);
    this.#events.addEventListener('open', () => this.#live.classList.add('on'));
    this.#events.addEventListener('error', () => this.#live.classList.remove('on'));
    this.#events.addEventListener('reload', () => this.#ask({}));
    this.#events.addEventListener('slide', (event) => this.#update(JSON.parse(event.data)));
    this.#timers.push(setInterval(() => this.#ask({}), REFRESH_S * 1000));
  }

  close() {
    this.#events?.close();
    this.#timers.forEach(clearInterval);
  }

  #filter(filter, event) {
    for (const button of event.target.parentElement.children) button.setAttribute('aria-pressed', String(button === event.target));
    this.#ask({ filter, offset: 0 });
  }

  async #ask(changes) {
    Object.assign(this.#asked, changes);
    const { filter, search, offset } = this.#asked;
    if (/[^0-9.]/.test(search)) {
      this.#status.textContent = 'Slides are found by how their UID begins: digits and dots.';
      replace(this.#body);
      replace(this.#pager);
      return;
    }
    const query = new URLSearchParams(filter);
    query.set('limit', PAGE);
    query.set('offset', offset);
    if (search) query.set('search', search);
    const asking = ++this.#asking;
    try {
      const [answer, who] = await Promise.all([getJson(`/slides?${query}`), whoAmI()]);
      if (asking !== this.#asking) return; // something else was asked meanwhile
      this.#isOperator = mayOperate(who);
      this.#total = answer.total;
      this.#rows.clear();
      replace(this.#body, ...answer.slides.map((slide) => this.#row(slide)));
      this.#sayCount();
    } catch (problem) {
      this.#status.textContent = problem.message;
      replace(this.#body);
    }
  }

  #sayCount() {
    const { offset, search, filter } = this.#asked;
    const isNarrowed = search || filter;
    const empty = isNarrowed ? 'No slide is like that.' : 'No slide has come yet. Send one by C-STORE or STOW-RS; it appears here by itself.';
    this.#status.textContent = this.#total ? count(this.#total, 'slide') : empty;
    const turn = (title, to, isPossible) =>
      h('button', { type: 'button', disabled: !isPossible, onclick: () => this.#ask({ offset: to }) }, title);
    replace(
      this.#pager,
      ...(this.#total > PAGE
        ? [turn('Newer', Math.max(offset - PAGE, 0), offset > 0), turn('Older', offset + PAGE, offset + PAGE < this.#total)]
        : []),
    );
  }

  /** A slide changed: its row changes where it stands; a new one comes first. */
  #update(slide) {
    const old = this.#rows.get(slide.id);
    const { filter, search, offset } = this.#asked;
    if (!old) {
      if (filter || search || offset) return;
      this.#total += 1;
      this.#body.prepend(this.#row(slide));
      this.#sayCount();
      return;
    }
    const hadFocus = old.contains(document.activeElement) ? document.activeElement.textContent : null;
    const row = this.#row(slide);
    old.replaceWith(row);
    if (hadFocus) [...row.querySelectorAll('a, button')].find(({ textContent }) => textContent === hadFocus)?.focus();
  }

  #row(slide) {
    const state = slide.state === 'queued' && slide.job ? slide.job.state : slide.state;
    const [title, tone] = STATES[state] ?? [state, 'quiet'];
    const reason = (slide.job && slide.state === 'queued' && slide.job.reason) || slide.reason;
    const row = h(
      'li',
      { class: 'slide', 'data-id': slide.id },
      slide.result ? picture(slide) : h('span', { class: 'thumb none', 'aria-hidden': 'true' }),
      h(
        'div',
        { class: 'who' },
        h('code', { title: slide.series_instance_uid }, tail(slide.series_instance_uid)),
        h('span', { class: 'quiet' }, [count(slide.n_instances, 'instance'), slide.sender && `from ${slide.sender}`, since(slide.first_instance_at)].filter(Boolean).join(' · ')),
      ),
      h(
        'div',
        { class: 'how' },
        h('span', { class: `state ${tone}` }, title),
        state === 'running' ? progress(slide.job) : h('span', { class: 'reason' }, reason),
      ),
      h('div', { class: 'where' }, ...slide.deliveries.map(delivery)),
      h('div', { class: 'do' }, ...this.#actions(slide, state)),
    );
    this.#rows.set(slide.id, row);
    return row;
  }

  #actions(slide, state) {
    const buttons = this.#isOperator ? this.#orders(slide, state) : [];
    if (slide.result) buttons.push(h('a', { class: 'open', href: `#/slide/${slide.result}` }, 'Open'));
    return buttons;
  }

  #orders(slide, state) {
    if (slide.state === 'held' || slide.state === 'collecting') return [this.#action(`/slides/${slide.id}/run`, 'Run now')];
    if (!slide.job) return [];
    const buttons = (ACTIONS[state] ?? []).map(([what, title]) => this.#action(`/jobs/${slide.job.key}/${what}`, title));
    const isStopped = slide.deliveries.some((one) => one.state === 'parked');
    return isStopped ? [...buttons, this.#action(`/jobs/${slide.job.key}/deliver`, 'Send again')] : buttons;
  }

  #action(path, title) {
    return h(
      'button',
      {
        type: 'button',
        onclick: async (event) => {
          event.target.disabled = true;
          try {
            await post(path);
            this.#ask({});
          } catch (problem) {
            this.#status.textContent = problem.message;
            event.target.disabled = false;
          }
        },
      },
      title,
    );
  }
}

function picture(slide) {
  return h('a', { class: 'thumb', href: `#/slide/${slide.result}`, tabindex: '-1', 'aria-hidden': 'true' }, h('img', { src: `${API}/results/${slide.result}/picture?longest=192`, loading: 'lazy', alt: 'Slide' }));
}

function progress(job) {
  const percent = Math.round(job.progress * 100);
  return h(
    'span',
    { class: 'progress' },
    h('progress', { max: '1', value: job.progress, 'aria-label': `Progress of ${job.stage || 'the job'}` }),
    h('span', { class: 'quiet' }, `${job.stage || 'starting'} ${percent} %`),
  );
}

function delivery({ destination, state, reason, attempts, next_attempt_at: next }) {
  const [title, tone] = DELIVERIES[state] ?? [state, 'quiet'];
  const again = state === 'waiting' && attempts ? `, tried ${count(attempts, 'time')}${next ? `, again at ${new Date(next).toLocaleTimeString('en', { timeStyle: 'short' })}` : ''}` : '';
  return h('span', { class: `delivery ${tone}`, title: reason }, h('b', {}, destination), ` ${title}${again}`, tone === 'fault' ? h('span', { class: 'reason' }, reason) : null);
}
