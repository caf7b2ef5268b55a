// Colours and curves of the family graph.
import { NODE_HEIGHT, NODE_WIDTH } from "./family-layout.js";

const MIDDLE = NODE_HEIGHT / 2;
const TOKENS = {
  surface: "--surface", line: "--line-strong", text: "--text", muted: "--text-muted", accent: "--accent-fill",
  accentSoft: "--accent-soft", graft: "--graft-mark", focus: "--focus", verified: "--edge-verified",
  declared: "--edge-declared", contradicted: "--edge-contradicted", related: "--edge-related",
};

/** Colours as the theme resolves them; light-dark() is resolved only on a property that is a colour. */
export function readColours(element) {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  const colours = {};
  for (const [name, token] of Object.entries(TOKENS)) {
    probe.style.color = `var(${token})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

/** The ends and handles of an edge as [x1, y1, x2, y2, reach]; related models in one column are joined by a bow. */
export function edgeCurve(family, edge) {
  const { from, to, evidence } = family.edges[edge];
  const [x1, y1, x2, y2] = [family.x[from], family.y[from] + MIDDLE, family.x[to], family.y[to] + MIDDLE];
  if (evidence === "related") {
    if (Math.abs(x1 - x2) < NODE_WIDTH) return [x1 + NODE_WIDTH, y1, x2 + NODE_WIDTH, y2, 36, -1];
    return x1 < x2 ? [x1 + NODE_WIDTH, y1, x2, y2, 40, 1] : [x2 + NODE_WIDTH, y2, x1, y1, 40, 1];
  }
  return [x1 + NODE_WIDTH, y1, x2, y2, Math.max(44, Math.abs(x2 - x1 - NODE_WIDTH) / 2), 1];
}

export function middleOf([x1, y1, x2, y2, reach, side]) {
  return [(x1 + x2) / 2 + (side < 0 ? reach * 0.75 : 0), (y1 + y2) / 2];
}
