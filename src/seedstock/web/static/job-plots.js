// Plots of metrics as SVG, the same as web/line_chart.py draws for readers without scripts.
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT, TICKS] = [480, 200, 62, 10, 10, 22, 4];
const SVG = "http://www.w3.org/2000/svg";

export function figure(value, digits = 4) {
  const size = Math.abs(value);
  return value !== 0 && !(size >= 1e-3 && size < 1e5) ? value.toExponential(1) : String(Number(value.toPrecision(size < 10 ** digits ? digits : 5)));
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function extent(values, none) {
  if (values.length === 0) return none;
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
}

function chart(title, series) {
  const points = series.flatMap((one) => one.points);
  const [first, last] = extent(points.map((point) => point[0]), [0, 1]);
  let [low, high] = extent(points.map((point) => point[1]).filter((value) => value !== null), [0, 1]);
  if (low === high) [low, high] = [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
  const x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * (step - first)) / Math.max(1, last - first);
  const y = (value) => TOP + ((HEIGHT - TOP - FOOT) * (high - value)) / (high - low);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} by step` });
  for (let part = 0; part < TICKS; part += 1) {
    const mark = low + ((high - low) * part) / (TICKS - 1);
    svg.append(drawn("path", { class: "grid-line", d: `M${LEFT} ${y(mark).toFixed(1)}H${WIDTH - RIGHT}` }));
    svg.append(drawn("text", { x: LEFT - 6, y: (y(mark) + 4).toFixed(1), "text-anchor": "end" }, figure(mark, 3)));
  }
  for (const step of first === last ? [first] : [first, last]) {
    svg.append(drawn("text", { x: x(step).toFixed(1), y: HEIGHT - 5, "text-anchor": step === first ? "start" : "end" }, step.toLocaleString("en")));
  }
  series.forEach((one, tone) => {
    let [path, pen] = ["", "M"];
    for (const [step, value] of one.points) {
      if (value !== null) path += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value === null ? "M" : "L";
    }
    svg.append(drawn("path", { class: `line line-${tone}`, d: path }));
  });
  return svg;
}

function legend(series) {
  const list = Object.assign(document.createElement("ul"), { className: "chart-legend" });
  series.forEach((one, tone) => {
    const swatch = Object.assign(document.createElement("span"), { className: `swatch share-${tone}` });
    const known = one.points.filter((point) => point[1] !== null);
    const value = Object.assign(document.createElement("span"), { className: "tnum", textContent: known.length ? figure(known.at(-1)[1]) : "–" });
    const item = document.createElement("li");
    item.append(swatch, one.name, value);
    list.append(item);
  });
  return list;
}

function panel(title, series) {
  const section = Object.assign(document.createElement("section"), { className: "panel" });
  const head = Object.assign(document.createElement("header"), { className: "panel-head" });
  head.append(Object.assign(document.createElement("h2"), { textContent: title }));
  const frame = Object.assign(document.createElement("figure"), { className: "chart" });
  frame.append(chart(title, series), legend(series));
  section.append(head, frame);
  return section;
}

// Series by name, kept to some thousand points: older ones are thinned to every other when there are more.
export class Plots {
  #most = 2000;

  constructor(root) {
    this.root = root;
    this.groups = JSON.parse(root.dataset.groups);
    this.series = new Map(JSON.parse(root.dataset.series));
  }

  add(metrics) {
    for (const [name, value] of Object.entries(metrics)) {
      if (name === "step" || (typeof value !== "number" && value !== null)) continue;
      let points = this.series.get(name) ?? [];
      if (points.length >= this.#most) points = points.filter((_, at) => at % 2 === 0);
      // A run that was taken up again from its checkpoint repeats some steps: the newer values count.
      while (points.length > 0 && points.at(-1)[0] >= metrics.step) points.pop();
      points.push([metrics.step, value]);
      this.series.set(name, points);
    }
  }

  draw() {
    const panels = [];
    for (const [title, names] of this.groups) {
      const there = names.filter((name) => this.series.has(name)).map((name) => ({ name, points: this.series.get(name) }));
      if (there.length > 0) panels.push(panel(title, there));
    }
    this.root.replaceChildren(...panels);
  }
}
