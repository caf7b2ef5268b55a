// Keeps a graph of stages up to date: states, curves in the boxes, plots and logs of each stage.
import { Plots } from "./job-plots.js";

const MAIN_CURVES = ["reward", "loss", "eval_reward", "eval_loss", "score"];
const [SPARK_X, SPARK_FOOT, SPARK_HEIGHT, SPARK_POINTS] = [10, 7, 14, 60];

// As web/stage_graph.py draws it.
function spark(values, width, height) {
  if (values.length < 2) return "";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const across = (width - 2 * SPARK_X) / (values.length - 1);
  const points = values.map((value, at) => `${(SPARK_X + at * across).toFixed(1)} ${(height - SPARK_FOOT - ((value - low) * SPARK_HEIGHT) / (high - low || 1)).toFixed(1)}`);
  return `M${points.join("L")}`;
}

function mainCurve(series) {
  for (const name of MAIN_CURVES) {
    const values = (series.get(name) ?? []).map((point) => point[1]).filter((value) => value !== null);
    if (values.length < 2) continue;
    const every = Math.ceil(values.length / SPARK_POINTS);
    return values.reverse().filter((_, at) => at % every === 0).reverse();
  }
  return [];
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds) % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export class Stages {
  #drawing = new Set();

  constructor(root, job) {
    this.root = root;
    this.job = job;
    this.run = root?.dataset.run ?? "";
    const found = root === null ? [] : [...root.querySelectorAll("[data-plots-of]")];
    this.plots = new Map(found.map((one) => [one.dataset.plotsOf, new Plots(one)]));
    for (const node of this.#all("[data-node]")) this.#live(node.dataset.node, node.dataset.standing);
  }

  #all(selector) {
    return this.root === null ? [] : [...this.root.querySelectorAll(selector)];
  }

  #live(name, state) {
    for (const edge of this.#all(`[data-to="${CSS.escape(name)}"]`)) edge.classList.toggle("is-live", state === "running");
  }

  // What a stage event says. A graph that is told anew, of a further run or attempt, is the server's to draw.
  hear({ id, data }) {
    if (data.graph !== undefined || (data.run ?? "") !== this.run) {
      location.reload();
      return;
    }
    if (data.state === undefined) return;
    const name = CSS.escape(data.name);
    for (const node of this.#all(`[data-node="${name}"], [data-stage="${name}"]`)) {
      node.dataset.standing = data.state;
      node.querySelector(".stage-state").textContent = data.state;
      if (node.dataset.node !== undefined) node.setAttribute("aria-label", node.getAttribute("aria-label").replace(/[^,]*$/, ` ${data.state}`));
    }
    this.#live(data.name, data.state);
    const card = this.#all(`[data-stage="${name}"]`)[0];
    if (card === undefined) return;
    if (data.seconds !== undefined) card.querySelector("[data-took]").textContent = duration(data.seconds);
    if (data.state === "running") card.querySelector("details").open = true;
    this.#log(card.querySelector("[data-log]"), id, data.state);
  }

  #log(link, id, state) {
    if (link === null) return;
    if (state === "running" && !link.hasAttribute("href")) link.href = `/api/jobs/${this.job}/log?format=text&limit=10000&after=${id}`;
    else if (state !== "running" && link.hasAttribute("href")) link.href = `${link.getAttribute("href").replace(/&until=\d+/, "")}&until=${id}`;
    link.hidden = !link.hasAttribute("href");
  }

  // Whether these metrics are of a stage that is shown here.
  measure(data) {
    const plots = this.plots.get(data.stage);
    if (plots === undefined || (data.run ?? "") !== this.run) return false;
    plots.add(data);
    if (this.#drawing.has(data.stage)) return true;
    this.#drawing.add(data.stage);
    setTimeout(() => { this.#drawing.delete(data.stage); this.#draw(data.stage, plots); }, 250); // a burst of old entries is drawn once
    return true;
  }

  #draw(name, plots) {
    plots.draw();
    const values = mainCurve(plots.series);
    for (const path of this.#all(`[data-node="${CSS.escape(name)}"] .stage-spark`)) {
      path.setAttribute("d", spark([...values], Number(path.dataset.width), Number(path.dataset.height)));
    }
  }
}
