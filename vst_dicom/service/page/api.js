/** Requests to our own server. */

const API = '/api/v1';

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`${API}${path}`, options);
  } catch (error) {
    throw new Problem(0, 'The server does not answer. It may be restarting; try again in a moment.');
  }
  if (response.ok) return response;
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch (error) {
    // not a problem document; the status text stands
  }
  if (response.status === 401) document.dispatchEvent(new Event('login-needed'));
  throw new Problem(response.status, detail);
}

export async function getJson(path) {
  return (await ask(path, { headers: { Accept: 'application/json' } })).json();
}

/** Change something; the server takes nothing but JSON from pages. */
export async function post(path, content) {
  const body = content === undefined ? undefined : JSON.stringify(content);
  return ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
}

const ARRAYS = { cells: Uint16Array, 'masked-cells': Uint16Array, 'tissue-class': Uint8Array };
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Values of a layer, one per tile; those of cells are rows and columns. */
export async function getLayer(key, name) {
  const response = await ask(`/results/${key}/layers/${encodeURIComponent(name)}`);
  const Type = ARRAYS[name] ?? Float32Array;
  const buffer = await response.arrayBuffer();
  if (!isLittleEndian && Type.BYTES_PER_ELEMENT > 1) reverse(new Uint8Array(buffer), Type.BYTES_PER_ELEMENT);
  return new Type(buffer);
}

function reverse(bytes, size) {
  for (let start = 0; start < bytes.length; start += size) bytes.subarray(start, start + size).reverse();
}

export { API };
