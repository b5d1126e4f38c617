/** Logging in, where the server asks for it, and out. */

import { getJson, post } from './api.js';
import { h, replace } from './element.js';

/** Ask for a login; `onLogin` is called once there is one. */
export async function loginPage(main, onLogin) {
  document.body.classList.remove('on-slide');
  const { login } = await getJson('/session').catch(() => ({ login: 'none' }));
  if (login === 'oidc') {
    const to = encodeURIComponent(`/${location.hash}`);
    replace(main, h('div', { class: 'message' }, h('h1', {}, 'Log in'), h('p', {}, h('a', { class: 'open', href: `/login?to=${to}` }, 'Log in'))));
    return;
  }
  const token = h('input', { id: 'token', class: 'search', type: 'password', autocomplete: 'current-password', required: true });
  const fault = h('p', { class: 'fault', role: 'alert' });
  const submit = async (event) => {
    event.preventDefault();
    try {
      await post('/session', { token: token.value.trim() });
      onLogin();
    } catch (problem) {
      fault.textContent = problem.message;
    }
  };
  replace(
    main,
    h(
      'form',
      { class: 'message login', onsubmit: submit },
      h('h1', {}, 'Log in'),
      h('label', { for: 'token' }, 'API token'),
      token,
      h('button', { class: 'main' }, 'Log in'),
      fault,
    ),
  );
  token.focus();
}

/** Show who is logged in, and how to leave. */
export async function showWho(header) {
  const { subject, login } = await getJson('/session').catch(() => ({}));
  if (!subject || login === 'none') return;
  const leave = async () => {
    await post('/session/end').catch(() => {});
    location.reload();
  };
  header.append(h('button', { type: 'button', class: 'plain who-am-i', title: `Logged in as ${subject}`, onclick: leave }, 'Log out'));
}
