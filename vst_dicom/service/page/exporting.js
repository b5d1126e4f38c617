/** Files of a result, and the view as a picture that says what it is. */

import { API, getJson } from './api.js';
import { colorTable } from './color_maps.js';
import { h, replace } from './element.js';
import { bytes, evidence, number, standing } from './words.js';

const KINDS = [
  [/^summary\.json$/, 'Summary'],
  [/\.csv$/, 'Values as CSV'],
  [/\.parquet$/, 'Values as Parquet'],
  [/\.geojson$/, 'GeoJSON for QuPath'],
  [/\.h5ad$/, 'AnnData for scanpy and squidpy'],
  [/\.zip$/, 'Archive'],
  [/^overview\.png$/, 'Overview picture'],
  [/\.dcm$/, 'DICOM'],
];
const FOOT = 64;
const HEAD_FONT = '600 15px system-ui, sans-serif';
const SMALL_FONT = '12px system-ui, sans-serif';

/** List of what can be downloaded. */
export function exportList(key, onPicture) {
  const list = h('ul', { class: 'files' }, h('li', { class: 'quiet' }, 'Asking the server …'));
  getJson(`/results/${key}`).then(
    (result) =>
      replace(
        list,
        ...made(key, result.files),
        ...result.files.map((file) =>
          h(
            'li',
            {},
            h('a', { href: `${API}/results/${key}/files/${encodeURIComponent(file.name)}`, download: file.name }, file.name),
            h('span', { class: 'quiet' }, `${KINDS.find(([pattern]) => pattern.test(file.name))?.[1] ?? 'File'} · ${bytes(file.n_bytes)}`),
          ),
        ),
      ),
    (problem) => replace(list, h('li', { class: 'fault' }, problem.message)),
  );
  return h(
    'div',
    { class: 'exports' },
    h('button', { type: 'button', class: 'main', onclick: onPicture }, 'This view as PNG'),
    list,
  );
}

/** What the server makes of the files while it sends them. */
function made(key, files) {
  const has = (ending) => files.some(({ name }) => name.endsWith(ending));
  const entry = (name, title, about) =>
    h('li', {}, h('a', { href: `${API}/results/${key}/${name}`, download: '' }, title), h('span', { class: 'quiet' }, about));
  return [
    has('.h5ad') && entry('values.csv', 'All values as CSV', 'One line per tile, intervals too'),
    has('.dcm') && entry('dicom.zip', 'All DICOM objects as ZIP', 'Maps, segments, annotations, report; not the slide'),
  ].filter(Boolean);
}

/** Save what the panes show, with legends, scale bar and the notice below. */
export async function savePicture({ panes, legends, scaleBar, colors, notice, name }) {
  const shots = panes.map((pane) => pane.snapshot());
  const ratio = window.devicePixelRatio || 1;
  const foot = FOOT * ratio;
  const canvas = document.createElement('canvas');
  canvas.width = shots.reduce((width, shot) => width + shot.width, 0);
  canvas.height = Math.max(...shots.map((shot) => shot.height)) + foot;
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  let left = 0;
  shots.forEach((shot, index) => {
    context.drawImage(shot, left, 0);
    drawLegend(context, left / ratio, (canvas.height - foot) / ratio, ratio, legends[index], colors);
    left += shot.width;
  });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const [right, bottom] = [canvas.width / ratio - 14, canvas.height / ratio];
  context.fillStyle = '#111';
  context.textAlign = 'right';
  context.font = SMALL_FONT;
  context.fillText(notice, right, bottom - 12);
  context.fillText(scaleBar.text, right, bottom - 44);
  context.fillRect(right - scaleBar.lengthPx, bottom - 38, scaleBar.lengthPx, 3);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
  const link = h('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function drawLegend(context, left, top, ratio, legend, colors) {
  if (!legend) return;
  const { layer, range, isBlend } = legend;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.textAlign = 'left';
  context.fillStyle = '#111';
  context.font = HEAD_FONT;
  context.fillText(isBlend ? legend.title : layer.label, left + 14, top + 22);
  context.font = SMALL_FONT;
  if (isBlend) {
    context.fillText(legend.text, left + 14, top + 42);
    return;
  }
  const said = [standing(layer), evidence(layer.held_out)].filter(Boolean).join(': ');
  context.fillText(`${said}`, left + 14 + context.measureText(layer.label).width * 1.3 + 10, top + 22);
  const table = colorTable(colors);
  for (let x = 0; x < 160; x += 1) {
    const index = Math.round((x / 159) * 255) * 3;
    context.fillStyle = `rgb(${table[index]},${table[index + 1]},${table[index + 2]})`;
    context.fillRect(left + 14 + x, top + 32, 1.5, 8);
  }
  context.fillStyle = '#111';
  context.fillText(`${number(range[0])} to ${number(range[1])} ${layer.unit}, predicted`, left + 14, top + 54);
}
