// The panel beside the graph: a model with its edges, or an edge with its evidence record.
import { RELATIONS } from "./family-graph.js";
import { sizeText } from "./family-text.js";

const EDGES_SHOWN = 12;
const OPENNESS = { "open-science": "Open science", "open-weight": "Open weight", "weights-available": "Weights available" };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export class Panel {
  /** `choose({node})` or `choose({edge})` is called when the reader follows something; `closed` on closing. */
  constructor(root, family, { choose, closed }) {
    Object.assign(this, { root, family, choose, closed });
    this.parts = document.getElementById("family-parts").content;
    root.addEventListener("keydown", (event) => { if (event.key === "Escape") closed(); });
  }

  mark(evidence) {
    return this.parts.querySelector(`[data-evidence="${evidence}"]`).cloneNode(true);
  }

  open(title, ...content) {
    const close = this.parts.querySelector(".panel-close").cloneNode(true);
    close.addEventListener("click", () => this.closed());
    this.root.replaceChildren(element("header", { className: "family-panel-head" }, title, close), ...content);
    this.root.hidden = false;
    this.root.scrollTop = 0;
  }

  hide() {
    this.root.hidden = true;
    this.root.replaceChildren();
  }

  name(node) {
    const { repo, href } = this.family.nodes[node];
    return href ? element("a", { href, textContent: repo }) : element("strong", { textContent: repo });
  }

  showNode(node) {
    const view = this.family.nodes[node];
    const facts = element("dl", { className: "facts" });
    const fact = (label, value) => { if (value) facts.append(element("div", {}, element("dt", { textContent: label }), element("dd", { textContent: value }))); };
    fact("Licence", view.licence);
    fact("Openness", OPENNESS[view.openness]);
    fact("Stated origin", view.origin ?? "not stated");
    fact("Parameters", view.parameters ? sizeText(view.parameters) : null);
    fact("Downloads", view.downloads.toLocaleString("en"));
    fact("Commit", view.commit?.slice(0, 10));
    const title = element("h3", {}, this.name(node));
    const outside = view.kind === "elsewhere" ? element("p", { className: "hint", textContent: "Named by a card; this hub does not hold it." }) : null;
    const subtitle = view.title ? element("p", { className: "hint", textContent: view.title }) : null;
    this.open(title, ...[subtitle, outside, facts].filter(Boolean), ...this.lists(node));
  }

  lists(node) {
    const { parents, related, children } = this.family;
    const claimed = (edge) => this.family.edges[edge].evidence === "contradicted";
    const holds = (edge) => !claimed(edge);
    return [
      ["Built on", parents[node].filter(holds)],
      ["Claims to be built on", parents[node].filter(claimed)],
      ["Related, direction unknown", related[node]],
      ["Built on this", children[node].filter(holds)],
      ["Claim to be built on this", children[node].filter(claimed)],
    ]
      .filter(([, edges]) => edges.length > 0)
      .map(([label, edges]) => this.list(label, edges, node));
  }

  list(label, edges, node) {
    const items = edges.slice(0, EDGES_SHOWN).map((edge) => {
      const other = this.family.otherEnd(edge, node);
      const go = element("button", { type: "button", className: "link-button", textContent: this.family.nodes[other].repo });
      go.addEventListener("click", () => this.choose({ node: other }));
      const why = element("button", { type: "button", className: "link-button" }, this.mark(this.family.edges[edge].evidence));
      why.setAttribute("aria-label", `${this.family.edges[edge].evidence}: evidence for ${this.family.nodes[other].repo}`);
      why.addEventListener("click", () => this.choose({ edge }));
      return element("li", {}, go, why);
    });
    if (edges.length > EDGES_SHOWN) items.push(element("li", { className: "muted", textContent: `and ${(edges.length - EDGES_SHOWN).toLocaleString("en")} more` }));
    return element("section", { className: "panel-list" }, element("h4", { textContent: `${label} (${edges.length.toLocaleString("en")})` }), element("ul", {}, ...items));
  }

  async showEdge(number) {
    const edge = this.family.edges[number];
    const relation = RELATIONS[edge.relation] ?? edge.relation;
    const words = edge.evidence === "related" ? "is related to" : `${relation.toLowerCase()} of`;
    const ends = element("p", { className: "edge-ends" }, this.name(edge.to), element("span", { className: "muted", textContent: ` ${words} ` }), this.name(edge.from));
    const head = element("h3", { textContent: "Evidence" });
    if (!edge.href) {
      this.open(head, ends, this.mark(edge.evidence), element("p", { className: "hint", textContent: "The card names this parent. The weights have not been compared, so nothing verifies or contradicts it." }));
      return;
    }
    const mark = this.mark(edge.evidence);
    const waiting = element("p", { className: "hint", role: "status", textContent: "Reading the record…" });
    this.open(head, ends, mark, waiting);
    const record = await readRecord(edge.href);
    if (!waiting.isConnected) return; // the reader has gone on to something else
    if (record) for (const said of [ends, mark]) said.remove(); // the record says it again
    waiting.replaceWith(record?.body ?? element("p", { className: "hint", textContent: "The record could not be read." }));
    this.root.append(element("p", { className: "family-panel-foot" }, element("a", { className: "button button-small", href: edge.href, textContent: "Open the full record" }), ...(record?.download ? [" ", record.download] : [])));
  }
}

/** Body and download of an evidence page, which the server has written; null if it cannot be had. */
async function readRecord(href) {
  try {
    const answer = await fetch(href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const body = page.getElementById("evidence-body");
    for (const named of [body, ...body.querySelectorAll("[id]")]) named.removeAttribute("id");
    for (const named of body.querySelectorAll("[aria-labelledby]")) named.removeAttribute("aria-labelledby");
    body.className = "record-in-panel";
    const download = page.querySelector("main a[download]");
    download?.classList.add("button-small");
    return { body: document.adoptNode(body), download: download && document.adoptNode(download) };
  } catch {
    return null;
  }
}
