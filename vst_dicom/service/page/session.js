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

let asked = null;

/** Who one is: `{login, subject, role}`; asked once. */
export function whoAmI() {
  asked ??= getJson('/session').catch(() => {
    asked = null;
    return { login: 'none', subject: '', role: 'public' };
  });
  return asked;
}

/** Whether somebody of this role may change something. */
export function mayOperate({ role }) {
  return role === 'operator' || role === 'admin';
}

/** Show who is logged in, and how to leave. */
export async function showWho(place) {
  asked = null;
  const { subject, role, login } = await whoAmI();
  if (!subject || login === 'none') {
    replace(place);
    return;
  }
  const leave = async () => {
    await post('/session/end').catch(() => {});
    location.reload();
  };
  const name = subject.replace(/^(token|oidc):/, '');
  replace(
    place,
    h('span', { class: 'who-name', title: `Logged in as ${subject}` }, name, h('span', { class: 'quiet' }, ` ${role}`)),
    h('button', { type: 'button', class: 'plain', onclick: leave }, 'Log out'),
  );
}
