// Draws a family on a canvas. Paths are batched by style: 5,000 models are a few dozen canvas calls and their text.
import { NODE_HEIGHT, NODE_WIDTH } from "./family-layout.js";
import { EVIDENCE } from "./family-graph.js";
import { edgeCurve, middleOf, readColours } from "./family-shapes.js";
import { Labels } from "./family-text.js";

const DASHES = { verified: [], declared: [7, 5], contradicted: [], related: [1.5, 4.5] };
const WIDTHS = { verified: 1.8, declared: 1.5, contradicted: 1.8, related: 2 };
const TEXT_FROM = 0.34; // below this scale words are no longer readable
const DETAIL_FROM = 0.6;
const CURVES_MOST = 900; // with more edges in sight boxes show theirs as a mark; from afar there are faint straight lines
const CROWD = 420; // the more edges in sight, the fainter each; those of the model under the pointer stand out
const DIM = 0.14;

export class Painter {
  constructor(canvas, family) {
    this.canvas = canvas;
    this.family = family;
    this.context = canvas.getContext("2d", { alpha: true });
    this.curves = family.edges.map((_, i) => edgeCurve(family, i));
    this.font = getComputedStyle(canvas).fontFamily;
    this.labels = new Labels(this.context, this.font, NODE_WIDTH - 22);
    this.recolour();
  }

  recolour() {
    this.colours = readColours(this.canvas.parentElement);
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    this.width = clientWidth;
    this.height = clientHeight;
  }

  draw(view, { selected, hovered, cursor, ring }) {
    const { context, ratio } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    this.box = [-view.x / view.scale, -view.y / view.scale, (this.width - view.x) / view.scale, (this.height - view.y) / view.scale];
    const lit = new Set(selected?.edge !== undefined ? [selected.edge] : []);
    if (hovered?.edge !== undefined) lit.add(hovered.edge);
    for (const node of [selected?.node, hovered?.node]) if (node !== undefined) for (const edge of this.family.edgesAt(node)) lit.add(edge);
    this.drawEdges(view.scale, lit);
    this.drawNodes(view.scale, selected, hovered, ring ? cursor : undefined);
  }

  visibleEdges() {
    const [left, top, right, bottom] = this.box;
    const seen = [];
    this.curves.forEach(([x1, y1, x2, y2], i) => {
      if (Math.max(x1, x2) + 60 >= left && Math.min(x1, x2) - 60 <= right && Math.max(y1, y2) >= top && Math.min(y1, y2) <= bottom) seen.push(i);
    });
    return seen;
  }

  drawEdges(scale, lit) {
    const { context, family } = this;
    const seen = this.visibleEdges();
    const crowded = seen.length > CURVES_MOST;
    const shape = crowded ? "line" : "curve";
    this.crowded = crowded && scale > TEXT_FROM;
    for (const evidence of EVIDENCE) {
      const all = seen.filter((edge) => family.edges[edge].evidence === evidence);
      const dim = family.edgeMatched ? all.filter((edge) => !family.edgeMatched[edge]) : [];
      const plain = family.edgeMatched ? all.filter((edge) => family.edgeMatched[edge]) : all;
      context.strokeStyle = this.colours[evidence];
      context.fillStyle = this.colours[evidence];
      context.setLineDash(shape === "line" ? [] : DASHES[evidence].map((length) => length / Math.min(1, Math.max(scale, 0.2) * 1.4)));
      context.lineCap = evidence === "related" ? "round" : "butt";
      const width = WIDTHS[evidence] / Math.max(0.55, Math.min(1, scale)) * (shape === "line" ? 0.7 : 1);
      if (!this.crowded) {
        this.strokeEdges(dim, width, DIM, shape, scale);
        this.strokeEdges(plain, width, crowded ? Math.max(0.1, Math.min(0.45, CROWD / seen.length)) : 0.9, shape, scale);
      }
      this.strokeLit(all.filter((edge) => lit.has(edge)), width, scale);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  /** The edges of what is chosen stand out; of very many only those with both ends in sight. */
  strokeLit(edges, width, scale) {
    const whole = (edge) => this.inSight(this.family.edges[edge].from) && this.inSight(this.family.edges[edge].to);
    const near = edges.length > CROWD ? edges.filter(whole) : edges;
    if (near.length > CURVES_MOST) this.strokeEdges(near, width * 0.6, 0.35, "line", scale);
    else this.strokeEdges(near, width * 1.9, 1, "curve", scale);
  }

  strokeEdges(edges, width, alpha, shape, scale) {
    if (edges.length === 0) return;
    const { context } = this;
    context.globalAlpha = alpha;
    context.lineWidth = width;
    context.beginPath();
    for (const edge of edges) {
      const [x1, y1, x2, y2, reach, side] = this.curves[edge];
      context.moveTo(x1, y1);
      if (shape === "curve") context.bezierCurveTo(x1 + reach, y1, x2 - side * reach, y2, x2, y2);
      else context.lineTo(x2, y2);
    }
    context.stroke();
    const evidence = this.family.edges[edges[0]].evidence;
    if (scale > 0.22 && evidence !== "related") this.arrowHeads(edges, width);
    if (evidence === "contradicted") this.crosses(edges.map((edge) => middleOf(this.curves[edge])), width, 6 / Math.min(1, Math.max(scale, 0.3)));
  }

  arrowHeads(edges, width) {
    const { context } = this;
    const [length, half] = [5 + width * 1.6, 2.5 + width];
    context.beginPath();
    for (const edge of edges) {
      const [, , x, y] = this.curves[edge];
      context.moveTo(x, y);
      context.lineTo(x - length, y - half);
      context.lineTo(x - length, y + half);
      context.closePath();
    }
    context.fill();
  }

  crosses(places, width, reach) {
    const { context } = this;
    context.lineWidth = width * 1.3;
    context.beginPath();
    for (const [x, y] of places) {
      context.moveTo(x - reach, y - reach);
      context.lineTo(x + reach, y + reach);
      context.moveTo(x + reach, y - reach);
      context.lineTo(x - reach, y + reach);
    }
    context.stroke();
  }

  inSight(node) {
    const { x, y } = this.family;
    const [left, top, right, bottom] = this.box;
    return x[node] + NODE_WIDTH >= left && x[node] <= right && y[node] + NODE_HEIGHT >= top && y[node] <= bottom;
  }

  visibleNodes() {
    const seen = [];
    for (let i = 0; i < this.family.x.length; i += 1) if (this.inSight(i)) seen.push(i);
    return seen;
  }

  drawNodes(scale, selected, hovered, cursor) {
    const { context, family, colours } = this;
    const seen = this.visibleNodes();
    const rounded = scale > TEXT_FROM;
    const boxes = (nodes, fill, stroke, width, dash = []) => {
      if (nodes.length === 0) return;
      context.beginPath();
      for (const i of nodes) {
        if (rounded) context.roundRect(family.x[i], family.y[i], NODE_WIDTH, NODE_HEIGHT, 7);
        else context.rect(family.x[i], family.y[i], NODE_WIDTH, NODE_HEIGHT);
      }
      context.fillStyle = fill;
      context.fill();
      context.setLineDash(dash);
      context.lineWidth = width / Math.min(1, Math.max(scale, 0.3));
      context.strokeStyle = stroke;
      context.stroke();
      context.setLineDash([]);
    };
    const shown = seen.filter((i) => family.matched[i]);
    context.globalAlpha = DIM * 2;
    boxes(seen.filter((i) => !family.matched[i]), colours.surface, colours.line, 1);
    context.globalAlpha = 1;
    boxes(shown.filter((i) => family.nodes[i].kind !== "elsewhere"), colours.surface, colours.line, 1.1);
    boxes(shown.filter((i) => family.nodes[i].kind === "elsewhere"), colours.surface, colours.line, 1.2, [4, 3]);
    if (scale <= TEXT_FROM) this.tint(shown);
    else if (this.crowded) this.mark(shown);
    context.fillStyle = colours.graft; // roots carry the mark of the stock
    for (const i of shown) if (family.parents[i].length === 0 && family.children[i].length > 0) context.fillRect(family.x[i], family.y[i] + 6, 4, NODE_HEIGHT - 12);
    if (family.focus !== undefined) boxes(seen.filter((i) => i === family.focus), colours.accentSoft, colours.accent, 2.2);
    if (hovered?.node !== undefined) boxes([hovered.node], colours.accentSoft, colours.accent, 1.4);
    if (selected?.node !== undefined) boxes([selected.node], colours.accentSoft, colours.accent, 2.4);
    if (scale > TEXT_FROM) this.drawText(seen, scale);
    else this.drawRing(family.focus, scale); // a box of a few pixels would not be found again
    if (cursor !== undefined) this.drawRing(cursor, scale);
  }

  /** From afar, where no words fit, boxes show what their model's descent rests on. */
  tint(shown) {
    const { context, family } = this;
    context.globalAlpha = 0.5;
    for (const evidence of EVIDENCE) {
      context.fillStyle = this.colours[evidence];
      context.beginPath();
      for (const i of shown) if (family.weakest[i] === evidence) context.rect(family.x[i], family.y[i], NODE_WIDTH, NODE_HEIGHT);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** Where edges crowd, a line at the left of each box stands for its least certain one. */
  mark(shown) {
    const { context, family } = this;
    for (const evidence of EVIDENCE) {
      const these = shown.filter((i) => family.weakest[i] === evidence);
      context.strokeStyle = this.colours[evidence];
      context.setLineDash(DASHES[evidence].map((length) => length * 0.8));
      context.lineCap = evidence === "related" ? "round" : "butt";
      context.lineWidth = 3;
      context.beginPath();
      for (const i of these) {
        context.moveTo(family.x[i] + 5.5, family.y[i] + 6);
        context.lineTo(family.x[i] + 5.5, family.y[i] + NODE_HEIGHT - 6);
      }
      context.stroke();
      if (evidence === "contradicted") this.crosses(these.map((i) => [family.x[i] + 5.5, family.y[i] + NODE_HEIGHT / 2]), 1.6, 4);
    }
    context.setLineDash([]);
    context.lineCap = "butt";
  }

  drawRing(node, scale) {
    const { context, family } = this;
    const gap = 4 / Math.min(1, scale);
    context.strokeStyle = this.colours.focus;
    context.lineWidth = gap / 1.6;
    context.beginPath();
    context.roundRect(family.x[node] - gap, family.y[node] - gap, NODE_WIDTH + 2 * gap, NODE_HEIGHT + 2 * gap, 9);
    context.stroke();
  }

  drawText(seen, scale) {
    const { context, family, colours } = this;
    const detailed = scale >= DETAIL_FROM;
    for (const i of seen) {
      context.globalAlpha = family.matched[i] ? 1 : DIM * 2;
      const { name, detail } = this.labels.of(i, family.nodes[i]);
      const [x, y] = [family.x[i] + 12, family.y[i]];
      context.font = `600 12.5px ${this.font}`;
      context.fillStyle = colours.text;
      context.fillText(name, x, y + (detailed ? 17 : 24.5));
      if (!detailed) continue;
      context.font = `11px ${this.font}`;
      context.fillStyle = colours.muted;
      context.fillText(detail, x, y + 32);
    }
    context.globalAlpha = 1;
  }
}
