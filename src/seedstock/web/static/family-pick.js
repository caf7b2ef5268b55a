// What lies under the pointer: a model's box first, else the nearest edge within reach.
import { NODE_HEIGHT, NODE_WIDTH } from "./family-layout.js";

const REACH_PX = 7;
const LEAST_BOX_PX = 10;
const CURVE_STEPS = 16;

/** `{node}`, `{edge}` or undefined for a position in the graph at this scale. */
export function thingAt(family, curves, scale, x, y) {
  const node = nodeAt(family, scale, x, y);
  if (node !== undefined) return { node };
  const edge = edgeAt(curves, REACH_PX / scale, x, y);
  return edge === undefined ? undefined : { edge };
}

function nodeAt(family, scale, x, y) {
  const slack = Math.max(0, (LEAST_BOX_PX / scale - NODE_HEIGHT) / 2);
  for (let i = 0; i < family.x.length; i += 1) {
    if (x >= family.x[i] && x <= family.x[i] + NODE_WIDTH && y >= family.y[i] - slack && y <= family.y[i] + NODE_HEIGHT + slack) return i;
  }
  return undefined;
}

function edgeAt(curves, reach, x, y) {
  let best = { edge: undefined, distance: reach };
  curves.forEach((curve, edge) => {
    const [x1, y1, x2, y2, handle] = curve;
    if (x < Math.min(x1, x2) - reach - handle || x > Math.max(x1, x2) + reach + handle || y < Math.min(y1, y2) - reach || y > Math.max(y1, y2) + reach) return;
    const distance = distanceTo(curve, x, y);
    if (distance < best.distance) best = { edge, distance };
  });
  return best.edge;
}

function distanceTo([x1, y1, x2, y2, reach, side], x, y) {
  let least = Infinity;
  let [px, py] = [x1, y1];
  for (let step = 1; step <= CURVE_STEPS; step += 1) {
    const t = step / CURVE_STEPS;
    const [a, b, c, d] = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3];
    const [qx, qy] = [a * x1 + b * (x1 + reach) + c * (x2 - side * reach) + d * x2, (a + b) * y1 + (c + d) * y2];
    const length = (qx - px) ** 2 + (qy - py) ** 2 || 1;
    const along = Math.max(0, Math.min(1, ((x - px) * (qx - px) + (y - py) * (qy - py)) / length));
    least = Math.min(least, Math.hypot(x - px - along * (qx - px), y - py - along * (qy - py)));
    [px, py] = [qx, qy];
  }
  return least;
}
