/** One view of the slide: OpenSeadragon below, maps and outlines on a canvas above. */

import { h } from './element.js';
import { drawOverlay } from './overlay.js';
import { tileSource } from './tile_source.js';

const { OpenSeadragon } = window;

const MOST_ZOOM = 4; // screen pixels per pixel of the base level
const FLIGHT_MARGIN = 1.8;

// OpenSeadragon adds a style element unless it finds one of its own; our policy forbids such, so it finds this stand-in.
const styled = document.createElementNS(null, 'style');
styled.setAttribute('data-openseadragon-mobile-css', 'true');
document.head.append(styled);

const isCalm = window.matchMedia('(prefers-reduced-motion: reduce)');

export class Pane {
  #canvas = h('canvas', { class: 'overlay', 'aria-hidden': 'true' });
  #host = h('div', { class: 'viewer' });
  #slide;
  #moved = [];
  #leading = [];
  scene = {};

  /**
   * @param slide Of the server's view.
   * @param label Says to screen readers what this is.
   */
  constructor(slide, label) {
    this.#slide = slide;
    this.element = h('div', { class: 'pane', role: 'group', 'aria-label': label }, this.#host, this.#canvas);
    for (const name of ['pointerdown', 'wheel']) {
      this.element.addEventListener(name, () => this.#lead(), { capture: true, passive: true });
    }
  }

  /** Begin to show the slide; the element must be in the document. */
  open() {
    this.viewer = OpenSeadragon({
      element: this.#host,
      tileSources: tileSource(this.#slide),
      drawer: 'canvas',
      showNavigationControl: false,
      animationTime: isCalm.matches ? 0 : 0.6,
      springStiffness: 9,
      maxZoomPixelRatio: MOST_ZOOM,
      minZoomImageRatio: 0.6,
      visibilityRatio: 0.35,
      zoomPerScroll: 1.3,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { flickEnabled: !isCalm.matches },
      immediateRender: false,
      imageLoaderLimit: 12,
      maxTilesPerFrame: 8,
      maxImageCacheCount: 600,
    });
    this.viewer.canvas.setAttribute('aria-label', `${this.element.getAttribute('aria-label')}: arrow keys move, + and - zoom`);
    this.viewer.canvas.setAttribute('role', 'application');
    this.viewer.addHandler('canvas-key', (event) => {
      event.preventDefaultAction = true; // keys are handled in one place
    });
    this.viewer.addHandler('update-viewport', () => this.draw());
    this.viewer.addHandler('resize', () => this.draw());
    for (const name of ['open', 'resize', 'animation', 'animation-finish']) {
      this.viewer.addHandler(name, () => this.#moved.forEach((listen) => listen(name)));
    }
  }

  close() {
    this.viewer?.destroy();
  }

  get isOpen() {
    return Boolean(this.viewer?.isOpen());
  }

  onMove(listener) {
    this.#moved.push(listener);
  }

  /** Call when somebody moves this pane, not another. */
  onLead(listener) {
    this.#leading.push(listener);
  }

  #lead() {
    this.#leading.forEach((listen) => listen());
  }

  /** Show other things above the slide. */
  show(scene) {
    this.scene = scene;
    this.draw();
  }

  /** Screen pixels per pixel of the base level, and where its corner lies on this element. */
  get transform() {
    const viewport = this.viewer?.viewport;
    if (!viewport) return null;
    const bounds = viewport.getBoundsNoRotate(true);
    const perUnit = viewport.getContainerSize().x / bounds.width;
    return { scale: perUnit / this.#slide.n_columns, x: -bounds.x * perUnit, y: -bounds.y * perUnit };
  }

  draw() {
    const transform = this.transform;
    if (!transform) return;
    const { clientWidth: width, clientHeight: height } = this.#host;
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== across || this.#canvas.height !== down) {
      this.#canvas.width = across;
      this.#canvas.height = down;
    }
    const context = this.#canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    drawOverlay(context, { width, height }, transform, this.#slide, this.scene);
  }

  /** Place on the base level below a place on the screen. */
  toSlide(clientX, clientY) {
    const box = this.element.getBoundingClientRect();
    const { scale, x, y } = this.transform;
    return { x: (clientX - box.left - x) / scale, y: (clientY - box.top - y) / scale };
  }

  /** Place on this element of a place on the base level. */
  toScreen({ x, y }) {
    const transform = this.transform;
    return { x: transform.x + x * transform.scale, y: transform.y + y * transform.scale };
  }

  get center() {
    const box = this.element.getBoundingClientRect();
    return this.toSlide(box.left + box.width / 2, box.top + box.height / 2);
  }

  /** Middle of the view and screen pixels per base pixel, as links keep them. */
  get place() {
    const { x, y } = this.center;
    return [x, y, this.transform.scale];
  }

  goTo([x, y, scale], immediately = true) {
    this.#lead();
    const { viewport } = this.viewer;
    const width = viewport.getContainerSize().x / (scale * this.#slide.n_columns);
    const height = width / viewport.getAspectRatio();
    const [middleX, middleY] = [x / this.#slide.n_columns, y / this.#slide.n_columns];
    viewport.fitBounds(new OpenSeadragon.Rect(middleX - width / 2, middleY - height / 2, width, height), immediately);
  }

  /** Fly to a rectangle of the base level, with some room around it. */
  flyTo({ left, top, right, bottom }) {
    this.#lead();
    const unit = this.#slide.n_columns;
    const [width, height] = [((right - left) / unit) * FLIGHT_MARGIN, ((bottom - top) / unit) * FLIGHT_MARGIN];
    const rectangle = new OpenSeadragon.Rect(
      (left + right) / 2 / unit - width / 2,
      (top + bottom) / 2 / unit - height / 2,
      width,
      height,
    );
    this.viewer.viewport.fitBoundsWithConstraints(rectangle, isCalm.matches);
  }

  /** Show at once what another pane shows. */
  follow(pane) {
    const { viewport } = pane.viewer;
    this.viewer.viewport.zoomTo(viewport.getZoom(true), null, true);
    this.viewer.viewport.panTo(viewport.getCenter(true), true);
  }

  focus() {
    this.viewer?.canvas.focus();
  }

  zoomBy(factor) {
    this.#lead();
    this.viewer.viewport.zoomBy(factor, null, isCalm.matches).applyConstraints(isCalm.matches);
  }

  panBy(across, down) {
    this.#lead();
    const { viewport } = this.viewer;
    const step = viewport.deltaPointsFromPixels(new OpenSeadragon.Point(across, down));
    viewport.panBy(step, isCalm.matches).applyConstraints(isCalm.matches);
  }

  /** Show a rectangle of the base level, at once. */
  fit({ left, top, right, bottom }) {
    this.#lead();
    const unit = this.#slide.n_columns;
    const box = new OpenSeadragon.Rect(left / unit, top / unit, (right - left) / unit, (bottom - top) / unit);
    this.viewer.viewport.fitBounds(box, true);
  }

  home() {
    this.#lead();
    this.viewer.viewport.goHome(isCalm.matches);
  }

  /** Slide and overlay as one picture of this view. */
  snapshot() {
    const canvas = document.createElement('canvas');
    canvas.width = this.#canvas.width;
    canvas.height = this.#canvas.height;
    const context = canvas.getContext('2d');
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.viewer.drawer.canvas, 0, 0, canvas.width, canvas.height);
    context.drawImage(this.#canvas, 0, 0);
    return canvas;
  }
}

/** Let two panes show the same place while both are seen: the one that somebody moved last leads, the other follows. */
export function synchronize(first, second, areSeen) {
  let leader = first;
  for (const [pane, other] of [[first, second], [second, first]]) {
    pane.onLead(() => {
      leader = pane;
    });
    pane.onMove((what) => {
      if (!areSeen()) leader = first;
      else if (!first.isOpen || !second.isOpen) return;
      else if (pane === leader) other.follow(pane);
      else if (what === 'open' || what === 'resize') pane.follow(leader);
    });
  }
}
