/** What lies above the slide: the map, hatching over masked tissue, outlines of hotspots. */

const HATCH = 9;
const LABEL_FONT = '600 12px system-ui, sans-serif';
const FEWEST_LABEL_PX = 14;

let hatch = null;
const masks = new WeakMap();

/**
 * Draw in screen pixels.
 * @param transform Screen pixels per base pixel, and where the slide's corner lies.
 * @param scene `{grid, picture, opacity, masked, hotspots, chosen, cross}`, each may be missing.
 */
export function drawOverlay(context, size, transform, slide, scene) {
  const { grid, picture, opacity = 1 } = scene;
  if (grid) {
    context.save();
    clipToSlide(context, transform, slide);
    if (picture) drawPicture(context, transform, grid, picture, opacity);
    if (scene.masked) drawMasked(context, transform, grid);
    context.restore();
  }
  if (scene.hotspots?.length) drawHotspots(context, transform, scene.hotspots, scene.chosen);
  if (scene.cross) drawCross(context, size);
}

function clipToSlide(context, { scale, x, y }, slide) {
  context.beginPath();
  context.rect(x, y, slide.n_columns * scale, slide.n_rows * scale);
  context.clip();
}

function drawPicture(context, { scale, x, y }, grid, picture, opacity) {
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = false;
  const width = picture.width * grid.tile.nColumns * scale;
  const height = picture.height * grid.tile.nRows * scale;
  context.drawImage(picture, x, y, width, height);
  context.globalAlpha = 1;
}

function drawMasked(context, { scale, x, y }, grid) {
  const [width, height] = [grid.tile.nColumns * scale, grid.tile.nRows * scale];
  hatch ??= makeHatch(context);
  hatch.setTransform(new DOMMatrix([1 / width, 0, 0, 1 / height, 0, 0])); // as wide at every zoom, fixed to the slide
  context.save();
  context.transform(width, 0, 0, height, x, y);
  context.fillStyle = hatch;
  context.fill(maskedPath(grid));
  context.restore();
}

/** Masked cells, one unit per cell; made once, since it is drawn with every frame. */
function maskedPath(grid) {
  if (!masks.has(grid)) {
    const path = new Path2D();
    for (const [row, column, n] of grid.maskedRuns) path.rect(column, row, n, 1);
    masks.set(grid, path);
  }
  return masks.get(grid);
}

function makeHatch(context) {
  const tile = document.createElement('canvas');
  tile.width = HATCH;
  tile.height = HATCH;
  const lines = tile.getContext('2d');
  for (const [color, width] of [['rgba(255,255,255,.75)', 2.6], ['rgba(40,40,48,.85)', 1.1]]) {
    lines.strokeStyle = color;
    lines.lineWidth = width;
    lines.beginPath();
    for (const start of [-HATCH, 0, HATCH]) {
      lines.moveTo(start - 1, HATCH + 1);
      lines.lineTo(start + HATCH + 1, -1);
    }
    lines.stroke();
  }
  return context.createPattern(tile, 'repeat');
}

function drawHotspots(context, { scale, x, y }, hotspots, chosen) {
  context.lineJoin = 'round';
  for (const hotspot of hotspots) {
    context.beginPath();
    for (const ring of hotspot.outlines_px) {
      ring.forEach(([px, py], index) => {
        if (index) context.lineTo(x + px * scale, y + py * scale);
        else context.moveTo(x + px * scale, y + py * scale);
      });
      context.closePath();
    }
    const isChosen = hotspot.number === chosen;
    for (const [color, width] of [['rgba(255,255,255,.95)', isChosen ? 7 : 4.5], ['#111', isChosen ? 3 : 1.8]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke();
    }
  }
  hotspots.forEach((hotspot) => labelHotspot(context, { scale, x, y }, hotspot));
}

function labelHotspot(context, { scale, x, y }, hotspot) {
  const box = boundsOf(hotspot);
  if (!box || (box.right - box.left) * scale < FEWEST_LABEL_PX) return;
  const text = String(hotspot.number);
  const [middle, top] = [x + ((box.left + box.right) / 2) * scale, y + box.top * scale];
  context.font = LABEL_FONT;
  const width = Math.max(context.measureText(text).width + 12, 20);
  context.fillStyle = '#111';
  context.strokeStyle = '#fff';
  context.lineWidth = 1.5;
  context.beginPath();
  context.roundRect(middle - width / 2, top - 10, width, 20, 10);
  context.fill();
  context.stroke();
  context.fillStyle = '#fff';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(text, middle, top + 0.5);
}

function drawCross(context, { width, height }) {
  for (const [color, line] of [['#fff', 4], ['#111', 1.5]]) {
    context.strokeStyle = color;
    context.lineWidth = line;
    context.beginPath();
    context.moveTo(width / 2 - 10, height / 2);
    context.lineTo(width / 2 + 10, height / 2);
    context.moveTo(width / 2, height / 2 - 10);
    context.lineTo(width / 2, height / 2 + 10);
    context.stroke();
  }
}

/** Rectangle around a hotspot, in base pixels; nothing where it has no outline. */
export function boundsOf(hotspot) {
  const points = hotspot.outlines_px.flat();
  if (!points.length) return null;
  const [across, down] = [points.map(([px]) => px), points.map(([, py]) => py)];
  return { left: Math.min(...across), right: Math.max(...across), top: Math.min(...down), bottom: Math.max(...down) };
}
