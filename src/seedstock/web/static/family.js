// The family page: reads the graph, lays it out in a worker, and joins camera, painter, keys, filters and panel.
import { announce } from "./app.js";
import { Camera } from "./family-camera.js";
import { Painter } from "./family-draw.js";
import { Family, RELATIONS } from "./family-graph.js";
import { layout, NODE_HEIGHT, NODE_WIDTH } from "./family-layout.js";
import { Panel } from "./family-panel.js";
import { thingAt } from "./family-pick.js";
import { middleOf } from "./family-shapes.js";

const get = (id) => document.getElementById(id);
const [section, canvas, status, tip, form] = ["family", "family-canvas", "family-status", "family-tip", "family-filters"].map(get);
const READABLE = 0.72;
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function place(input) {
  return new Promise((resolve) => {
    const alone = () => resolve(layout(input)); // a browser without module workers waits instead
    try {
      const worker = new Worker(new URL("./family-layout.js", import.meta.url), { type: "module" });
      worker.addEventListener("message", (event) => { resolve(event.data); worker.terminate(); });
      worker.addEventListener("error", alone);
      worker.postMessage(input);
    } catch {
      alone();
    }
  });
}

class View {
  constructor(family) {
    this.family = family;
    this.cursor = family.focus;
    this.painter = new Painter(canvas, family);
    this.camera = new Camera(canvas, {
      changed: () => this.later(),
      tapped: (x, y) => this.tap(x, y),
      hovered: (x, y, event) => this.hover(x, y, event),
    });
    this.camera.setBounds(family);
    this.panel = new Panel(get("family-panel"), family, { choose: (choice) => this.choose(choice, true), closed: () => this.close() });
    this.listen();
  }

  listen() {
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => { this.ring = canvas.matches(":focus-visible"); this.say(); this.later(); });
    canvas.addEventListener("blur", () => { this.ring = false; this.later(); });
    const zooms = { in: () => this.camera.zoomAt(1.4), out: () => this.camera.zoomAt(1 / 1.4), fit: () => this.camera.fit() };
    for (const button of section.querySelectorAll("[data-zoom]")) button.addEventListener("click", zooms[button.dataset.zoom]);
    new ResizeObserver(() => { this.painter.resize(); this.draw(); }).observe(canvas);
    const recolour = () => { this.painter.recolour(); this.later(); };
    new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    for (const name of ["input", "change"]) form.addEventListener(name, () => this.filter());
    get("family-search").addEventListener("keydown", (event) => { if (event.key === "Enter") this.goToFirstMatch(); });
  }

  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = undefined; this.draw(); });
  }

  draw() {
    this.painter.draw(this.camera, this);
  }

  start() {
    this.painter.resize();
    this.camera.still = true;
    this.filter();
    if (this.camera.fitScale() >= 0.4) this.camera.fit();
    else this.camera.centre(this.family.x[this.cursor] + NODE_WIDTH / 2, this.family.y[this.cursor] + NODE_HEIGHT / 2, READABLE);
    this.draw();
    this.camera.still = false;
  }

  hover(x, y, event) {
    const thing = x === null ? undefined : thingAt(this.family, this.painter.curves, this.camera.scale, x, y);
    canvas.style.cursor = thing ? "pointer" : "grab";
    if (thing?.node !== this.hovered?.node || thing?.edge !== this.hovered?.edge) {
      this.hovered = thing;
      this.later();
    }
    tip.hidden = !thing;
    if (!thing) return;
    tip.textContent = thing.node === undefined ? this.edgeWords(thing.edge) : this.family.nodes[thing.node].repo;
    const box = canvas.getBoundingClientRect();
    const left = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 8);
    tip.style.transform = `translate(${Math.max(4, left)}px, ${event.clientY - box.top + 18}px)`;
  }

  edgeWords(number) {
    const edge = this.family.edges[number];
    const [child, parent] = [this.family.nodes[edge.to].repo, this.family.nodes[edge.from].repo];
    if (edge.evidence === "related") return `${child} and ${parent} are related; direction unknown`;
    return `${child}: ${(RELATIONS[edge.relation] ?? edge.relation).toLowerCase()} of ${parent}, ${edge.evidence}`;
  }

  tap(x, y) {
    const thing = thingAt(this.family, this.painter.curves, this.camera.scale, x, y);
    if (thing) this.choose(thing, false);
    else this.close();
  }

  /** Selects a node or an edge and opens its panel; `moves` brings it into sight. */
  choose(thing, moves) {
    this.selected = thing;
    if (thing.node === undefined) {
      this.panel.showEdge(thing.edge);
      this.measurePanel();
      announce(this.edgeWords(thing.edge));
      const [x, y] = middleOf(this.painter.curves[thing.edge]);
      if (moves) this.camera.centre(x, y);
      else this.camera.reveal(x - NODE_WIDTH / 2, y - NODE_HEIGHT / 2);
    } else {
      this.cursor = thing.node;
      this.panel.showNode(thing.node);
      this.measurePanel();
      this.reveal(thing.node);
    }
    this.later();
  }

  /** Tells the camera which part of the canvas the panel covers: its side, or on a phone its foot. */
  measurePanel() {
    const panel = get("family-panel");
    const wide = panel.offsetWidth < canvas.clientWidth;
    this.camera.covered = { right: wide ? panel.offsetWidth : 0, bottom: wide ? 0 : panel.offsetHeight };
  }

  close() {
    this.selected = undefined;
    const inside = get("family-panel").contains(document.activeElement);
    this.panel.hide();
    this.measurePanel();
    if (inside) canvas.focus();
    this.later();
  }

  reveal(node) {
    this.camera.reveal(this.family.x[node], this.family.y[node]);
  }

  say() {
    announce(this.family.describe(this.cursor));
  }

  go(node) {
    this.cursor = node;
    this.ring = true;
    this.reveal(node);
    this.say();
    this.later();
  }

  key(event) {
    if (this.camera.key(event)) event.preventDefault();
    else if (event.key === "Escape") this.close();
    else if (event.key === "Home") this.go(this.family.focus);
    else if (event.key === "Enter" || event.key === " ") this.enter({ node: this.cursor });
    else if (event.key === "e" && !event.ctrlKey && !event.metaKey) this.nextEvidence();
    else if (event.key.startsWith("Arrow")) {
      const next = this.family.step(this.cursor, event.key);
      if (next === null) announce("Nothing further in this direction");
      else this.go(next);
    } else return;
    event.preventDefault();
  }

  enter(thing) {
    this.choose(thing, true);
    get("family-panel").querySelector("a, button").focus({ preventScroll: true });
  }

  /** Each press of E opens the evidence of the next edge at the model under the cursor. */
  nextEvidence() {
    const edges = this.family.edgesAt(this.cursor);
    if (edges.length === 0) return;
    const at = edges.indexOf(this.selected?.edge);
    this.choose({ edge: edges[(at + 1) % edges.length] }, false);
  }

  filter() {
    const value = (name) => form.elements.namedItem(name)?.value ?? "";
    const wanted = Object.fromEntries(["search", "relation", "evidence", "licence", "origin"].map((name) => [name, value(name)]));
    this.family.filter(wanted);
    const { nodes, edges, matchCount, truncated } = this.family;
    const all = `${counted(nodes.length, "model")}, ${counted(edges.length, "link")}${truncated ? ", more are not shown" : ""}`;
    status.textContent = matchCount === nodes.length ? all : `${matchCount.toLocaleString("en")} of ${nodes.length.toLocaleString("en")} models match`;
    this.later();
  }

  goToFirstMatch() {
    const first = this.family.matched.indexOf(1);
    if (first >= 0) this.go(first);
  }
}

async function main() {
  section.hidden = false;
  for (const button of document.querySelectorAll("[data-without-script]")) button.hidden = true;
  try {
    const answer = await fetch(section.dataset.graph, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}`);
    const family = new Family(await answer.json());
    family.place(await place(family.layoutInput(canvas.clientWidth / canvas.clientHeight)));
    new View(family).start();
    section.dataset.ready = String(Math.round(performance.now())); // ms since navigation, for the test of speed
  } catch (error) {
    status.textContent = `The graph could not be drawn (${error.message}). The table below has the same data.`;
    section.classList.add("is-failed");
  }
}

main();
