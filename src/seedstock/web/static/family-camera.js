// Where the reader looks at the graph from: pan, zoom, fit, and the gestures that move it.
import { NODE_HEIGHT, NODE_WIDTH } from "./family-layout.js";

const LEAST_SCALE = 0.03;
const MOST_SCALE = 2.5;
const CLICK_SLACK_PX = 5;
const GLIDE_MS = 180;
const PAN_STEP_PX = 80;
const MARGIN_PX = 32;

export class Camera {
  /** `changed` is called after every move; `tapped(x, y)` and `hovered(x, y)` with positions in the graph. */
  constructor(canvas, { changed, tapped, hovered }) {
    Object.assign(this, { canvas, changed, tapped, hovered, x: 0, y: 0, scale: 1 });
    this.pointers = new Map();
    this.moved = 0;
    this.covered = { right: 0, bottom: 0 }; // px of the canvas that lie under the panel
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event, true));
    canvas.addEventListener("pointercancel", (event) => this.up(event, false));
    canvas.addEventListener("pointerleave", () => { if (this.pointers.size === 0) this.hovered(null); });
  }

  setBounds(family) {
    const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
    for (let i = 0; i < family.x.length; i += 1) {
      box.left = Math.min(box.left, family.x[i]);
      box.right = Math.max(box.right, family.x[i] + NODE_WIDTH);
      box.top = Math.min(box.top, family.y[i]);
      box.bottom = Math.max(box.bottom, family.y[i] + NODE_HEIGHT);
    }
    this.bounds = box;
  }

  room() {
    return [this.canvas.clientWidth - this.covered.right, this.canvas.clientHeight - this.covered.bottom];
  }

  toGraph(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  local(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  zoomAt(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(MOST_SCALE, Math.max(LEAST_SCALE, this.scale * factor));
    const [graphX, graphY] = this.toGraph(x, y);
    this.scale = scale;
    this.set(x - graphX * scale, y - graphY * scale);
  }

  /** Moves, but never so far that nothing is in sight. */
  set(x, y) {
    const { left, top, right, bottom } = this.bounds;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const keep = 60;
    this.x = Math.min(width - keep - left * this.scale, Math.max(keep - right * this.scale, x));
    this.y = Math.min(height - keep - top * this.scale, Math.max(keep - bottom * this.scale, y));
    this.changed();
  }

  fitScale() {
    const { left, top, right, bottom } = this.bounds;
    const [width, height] = this.room().map((length) => length - 2 * MARGIN_PX);
    return Math.min(1, Math.max(LEAST_SCALE, Math.min(width / (right - left), height / (bottom - top))));
  }

  fit() {
    const { left, top, right, bottom } = this.bounds;
    this.glide((left + right) / 2, (top + bottom) / 2, this.fitScale());
  }

  /** Puts a point of the graph in the middle. */
  centre(x, y, scale = this.scale) {
    this.glide(x, y, scale);
  }

  /** Scrolls just enough for a node to be in sight. */
  reveal(x, y) {
    const [left, top] = [x * this.scale + this.x, y * this.scale + this.y];
    const [width, height] = this.room();
    const inside = left >= MARGIN_PX && left + NODE_WIDTH * this.scale <= width - MARGIN_PX && top >= MARGIN_PX && top + NODE_HEIGHT * this.scale <= height - MARGIN_PX;
    if (!inside || this.scale < 0.3) this.glide(x + NODE_WIDTH / 2, y + NODE_HEIGHT / 2, Math.max(this.scale, 0.5));
  }

  glide(x, y, scale) {
    cancelAnimationFrame(this.gliding);
    const from = { x: this.x, y: this.y, scale: this.scale };
    const [width, height] = this.room();
    const to = { x: width / 2 - x * scale, y: height / 2 - y * scale, scale };
    const still = this.still || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = performance.now();
    const frame = (now) => {
      const share = still ? 1 : Math.min(1, Math.max(0, now - start) / GLIDE_MS);
      const eased = 1 - (1 - share) ** 3;
      for (const name of ["x", "y", "scale"]) this[name] = from[name] + (to[name] - from[name]) * eased;
      this.changed();
      if (share < 1) this.gliding = requestAnimationFrame(frame);
    };
    frame(start);
  }

  wheel(event) {
    event.preventDefault();
    cancelAnimationFrame(this.gliding);
    const unit = event.deltaMode === 1 ? 16 : 1;
    const strength = event.ctrlKey ? 0.01 : 0.0016; // a pinch on a touch pad arrives as a small wheel with ctrl
    this.zoomAt(Math.exp(-event.deltaY * unit * strength), ...this.local(event));
  }

  down(event) {
    if (event.button > 0) return;
    cancelAnimationFrame(this.gliding);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.local(event));
    if (this.pointers.size === 1) this.moved = 0;
  }

  move(event) {
    const here = this.local(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.hovered(...this.toGraph(...here), event);
      return;
    }
    this.moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
    if (this.moved > CLICK_SLACK_PX) this.hovered(null);
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, here);
    else if (this.moved > CLICK_SLACK_PX) this.set(this.x + here[0] - before[0], this.y + here[1] - before[1]);
    this.pointers.set(event.pointerId, here);
  }

  pinch(id, before, here) {
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const spread = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
    this.zoomAt(spread(here) / spread(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
    this.set(this.x + (here[0] - before[0]) / 2, this.y + (here[1] - before[1]) / 2);
  }

  up(event, counts) {
    const known = this.pointers.delete(event.pointerId);
    if (counts && known && this.pointers.size === 0 && this.moved <= CLICK_SLACK_PX) this.tapped(...this.toGraph(...this.local(event)), event);
  }

  /** Whether the key moved the camera. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const pans = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "+" || event.key === "=") this.zoomAt(1.3);
    else if (event.key === "-" || event.key === "_") this.zoomAt(1 / 1.3);
    else if (event.key === "0") this.fit();
    else if (event.shiftKey && pans[event.key]) this.set(this.x + pans[event.key][0] * PAN_STEP_PX, this.y + pans[event.key][1] * PAN_STEP_PX);
    else return false;
    return true;
  }
}
