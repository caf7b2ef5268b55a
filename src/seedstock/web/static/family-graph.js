// The family as the scripts hold it: indices instead of ids, who is next to whom, what matches the filters.

export const EVIDENCE = ["verified", "declared", "contradicted", "related"];
export const RELATIONS = {
  finetune: "Fine-tune", adapter: "Adapter", lora: "Low-rank", merge: "Merge", quantized: "Quantised",
  pruned: "Pruned", permuted: "Permuted", copy: "Copy", related: "Related",
};
const NOT_STATED = "not stated"; // as in web/family.py

export class Family {
  constructor(answer) {
    const index = new Map(answer.nodes.map((node, i) => [node.id, i]));
    this.nodes = answer.nodes;
    this.focus = index.get(answer.focus);
    this.edges = answer.edges.map((edge) => ({ ...edge, from: index.get(edge.source), to: index.get(edge.target) }));
    this.truncated = answer.truncated;
    this.parents = this.nodes.map(() => []); // edge numbers, by node
    this.children = this.nodes.map(() => []);
    this.related = this.nodes.map(() => []);
    this.edges.forEach((edge, i) => {
      if (edge.evidence === "related") {
        this.related[edge.from].push(i);
        this.related[edge.to].push(i);
      } else {
        this.children[edge.from].push(i);
        this.parents[edge.to].push(i);
      }
    });
    this.weakest = this.nodes.map((_, i) => this.weakestOf(i));
    this.matched = new Uint8Array(this.nodes.length).fill(1);
    this.matchCount = this.nodes.length;
  }

  /** The least certain evidence towards a node's parents, or `related`, or null for a root. */
  weakestOf(node) {
    const found = new Set(this.parents[node].map((edge) => this.edges[edge].evidence));
    return ["contradicted", "declared", "verified"].find((evidence) => found.has(evidence)) ?? (this.related[node].length > 0 ? "related" : null);
  }

  layoutInput(aspect) {
    return {
      count: this.nodes.length,
      sources: Int32Array.from(this.edges, (edge) => edge.from),
      targets: Int32Array.from(this.edges, (edge) => edge.to),
      directed: Uint8Array.from(this.edges, (edge) => (edge.evidence === "related" ? 0 : 1)),
      aspect,
    };
  }

  place({ x, y, layers }) {
    this.x = x;
    this.y = y;
    this.layers = layers;
    this.seat = new Int32Array(this.nodes.length);
    this.layer = new Int32Array(this.nodes.length);
    layers.forEach((members, at) => members.forEach((node, i) => { this.seat[node] = i; this.layer[node] = at; }));
  }

  /** Edges that touch a node, towards its parents first. */
  edgesAt(node) {
    return [...this.parents[node], ...this.related[node], ...this.children[node]];
  }

  otherEnd(edge, node) {
    return this.edges[edge].from === node ? this.edges[edge].to : this.edges[edge].from;
  }

  /** Keeps what matches all of `{search, relation, evidence, licence, origin}`; empty values match anything. */
  filter(wanted) {
    const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    const edgeFits = (edge) => (!wanted.relation || edge.relation === wanted.relation) && (!wanted.evidence || edge.evidence === wanted.evidence);
    this.matchCount = 0;
    this.nodes.forEach((node, i) => {
      const name = `${node.repo} ${node.title ?? ""}`.toLowerCase();
      const edges = [...this.parents[i], ...this.related[i]].map((edge) => this.edges[edge]);
      const fits = words.every((word) => name.includes(word))
        && (!wanted.licence || (node.licence ?? NOT_STATED) === wanted.licence)
        && (!wanted.origin || (node.origin ?? NOT_STATED) === wanted.origin)
        && (!wanted.relation && !wanted.evidence ? true : edges.some(edgeFits));
      this.matched[i] = fits ? 1 : 0;
      this.matchCount += this.matched[i];
    });
    this.edgeMatched = this.edges.map((edge) => edgeFits(edge) && this.matched[edge.to] === 1);
  }

  /** The next node for an arrow key, or null: left and right along edges, up and down in the same layer. */
  step(node, key) {
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const along = key === "ArrowLeft" ? this.parents[node] : this.children[node];
      const ends = along.map((edge) => this.otherEnd(edge, node));
      const near = (other) => Math.abs(this.y[other] - this.y[node]) + (this.matched[other] ? 0 : 1e9);
      return ends.length > 0 ? ends.reduce((best, other) => (near(other) < near(best) ? other : best)) : null;
    }
    const members = this.layers[this.layer[node]];
    const by = key === "ArrowUp" ? -1 : 1;
    for (let at = this.seat[node] + by; at >= 0 && at < members.length; at += by) {
      if (this.matched[members[at]]) return members[at];
    }
    return null;
  }

  describe(node) {
    const [up, down, beside] = [this.parents, this.children, this.related].map((lists) => lists[node].length);
    const parts = [`${up} ${up === 1 ? "parent" : "parents"}`, `${down} ${down === 1 ? "child" : "children"}`];
    if (beside > 0) parts.push(`${beside} related`);
    const first = this.parents[node][0];
    const how = first === undefined ? "" : `, ${RELATIONS[this.edges[first].relation] ?? this.edges[first].relation} of ${this.nodes[this.edges[first].from].repo}, ${this.edges[first].evidence}`;
    return `${this.nodes[node].repo}${node === this.focus ? ", this model" : ""}${how}; ${parts.join(", ")}`;
  }
}
