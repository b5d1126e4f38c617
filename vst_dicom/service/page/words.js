/** How numbers and evidence are said. */


export function number(value, digits = 2) {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}

export function area(mm2) {
  return `${number(mm2, mm2 < 0.1 ? 3 : 2)} mm²`;
}

/** Correlation on tissue that the model never saw, such as "r = 0.52 [0.41–0.60] in 8 held-out patients". */
export function evidence(heldOut) {
  if (!heldOut || heldOut.r === null) return '';
  const to = heldOut.interval?.[0] < 0 ? ' to ' : '–';
  const interval = heldOut.interval ? ` [${heldOut.interval.map((limit) => number(limit)).join(to)}]` : '';
  const where = heldOut.unit ? ` in ${count(heldOut.n, `held-out ${heldOut.unit}`)}` : '';
  return `r = ${number(heldOut.r)}${interval}${where}`;
}

/** How far a layer may be trusted, in one word. */
export function standing(layer) {
  return { supported: 'supported', exploratory: 'exploratory', hidden: 'not supported: hidden' }[layer.status] ?? '';
}

/** Why it is shown in the way it is. */
export function reason(layer) {
  const text = layer.reason ? layer.reason[0].toUpperCase() + layer.reason.slice(1) : '';
  return text && !/[.!?]$/.test(text) ? `${text}.` : text;
}

export function bytes(n) {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  const step = Math.min(Math.floor(Math.log10(Math.max(n, 1)) / 3), 3);
  return `${number(n / 1000 ** step, step && n / 1000 ** step < 10 ? 1 : 0)} ${units[step]}`;
}

export function since(text, now = Date.now()) {
  const seconds = (now - Date.parse(text)) / 1000;
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(text).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** The end of an identifier, by which people tell slides apart. */
export function tail(uid) {
  return uid.length > 14 ? `…${uid.slice(-12)}` : uid;
}
