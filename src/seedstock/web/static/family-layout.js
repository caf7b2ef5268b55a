// Layered layout of a family, roots at the left: O((n + e) log n), run as a worker so that the page stays live.
// Edges in `sources`/`targets` (node indices); an edge without direction has directed[i] = 0.

export const NODE_WIDTH = 188;
export const NODE_HEIGHT = 40;
const ROW = 52;
const COLUMN = NODE_WIDTH + 18; // inside a layer that is wrapped into several columns
const LAYER_GAP = 104;
const LEAST_ROWS = 14;
const SWEEPS = 4;

function neighbours(count, edges, from, to) {
  const lists = Array.from({ length: count }, () => []);
  for (const edge of edges) lists[from[edge]].push(to[edge]);
  return lists;
}

/** Longest path from the roots; in a cycle of declarations the first model stands in front. */
function layersOf(count, parents, children) {
  const layer = new Int32Array(count);
  const open = Int32Array.from(parents, (list) => list.length);
  const done = new Uint8Array(count);
  const ready = [];
  for (let node = 0; node < count; node += 1) if (open[node] === 0) ready.push(node);
  for (let at = 0, scan = 0; at < count; at += 1) {
    if (at === ready.length) {
      while (done[scan] || open[scan] <= 0) scan += 1;
      open[scan] = 0;
      ready.push(scan);
    }
    const node = ready[at];
    done[node] = 1;
    for (const child of children[node]) {
      if (done[child]) continue;
      layer[child] = Math.max(layer[child], layer[node] + 1);
      open[child] -= 1;
      if (open[child] === 0) ready.push(child);
    }
  }
  for (const node of ready) { // a root stands next to its first child, not at the far left
    if (parents[node].length === 0 && children[node].length > 0) {
      layer[node] = Math.max(0, children[node].reduce((least, child) => Math.min(least, layer[child]), Infinity) - 1);
    }
  }
  return layer;
}

/** Models that are only related, without direction, stand in the layer of what they are related to. */
function placeRelated(layer, linked, relatives) {
  const placed = Uint8Array.from(linked);
  const waiting = [];
  for (let node = 0; node < layer.length; node += 1) if (placed[node]) waiting.push(node);
  for (let at = 0; at < waiting.length; at += 1) {
    for (const other of relatives[waiting[at]]) {
      if (placed[other]) continue;
      placed[other] = 1;
      layer[other] = layer[waiting[at]];
      waiting.push(other);
    }
  }
}

/** Subtrees stay together: depth first from the roots, then relatives beside theirs. */
function firstOrder(count, parents, children, relatives) {
  const rank = new Int32Array(count).fill(-1);
  let next = 0;
  const visit = (start) => {
    const stack = [start];
    while (stack.length > 0) {
      const node = stack.pop();
      if (rank[node] >= 0) continue;
      rank[node] = next;
      next += 1;
      for (const other of relatives[node]) if (rank[other] < 0) stack.push(other);
      for (let i = children[node].length - 1; i >= 0; i -= 1) if (rank[children[node][i]] < 0) stack.push(children[node][i]);
    }
  };
  for (let node = 0; node < count; node += 1) if (parents[node].length === 0 && children[node].length > 0) visit(node);
  for (let node = 0; node < count; node += 1) visit(node);
  return rank;
}

function mean(list, values) {
  let sum = 0;
  for (const node of list) sum += values[node];
  return sum / list.length;
}

/** Barycentre sweeps, down and up in turn; `place` is each node's position in its layer, from 0 to 1. */
function orderLayers(layers, before, after, rank) {
  const place = new Float64Array(rank.length);
  const settle = (members) => members.forEach((node, i) => { place[node] = (i + 0.5) / members.length; });
  for (const members of layers) {
    members.sort((a, b) => rank[a] - rank[b]);
    settle(members);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    const sequence = down ? layers : [...layers].reverse();
    for (const members of sequence) {
      const wanted = new Map();
      for (const node of members) {
        const list = down ? before[node] : after[node];
        wanted.set(node, list.length > 0 ? mean(list, place) : place[node]);
      }
      members.sort((a, b) => wanted.get(a) - wanted.get(b) || rank[a] - rank[b]);
      settle(members);
    }
  }
}

/** The nearest heights to `wanted` in this order with one row between neighbours (pool adjacent violators). */
function spaced(wanted) {
  const blocks = [];
  wanted.forEach((value, i) => {
    let block = { sum: value - i * ROW, size: 1 };
    while (blocks.length > 0 && blocks.at(-1).sum / blocks.at(-1).size > block.sum / block.size) {
      const last = blocks.pop();
      block = { sum: block.sum + last.sum, size: block.size + last.size };
    }
    blocks.push(block);
  });
  return blocks.flatMap((block) => Array(block.size).fill(block.sum / block.size)).map((value, i) => value + i * ROW);
}

function placeLayer(members, columns, links, y) {
  const rows = [];
  for (let at = 0; at < members.length; at += columns) rows.push(members.slice(at, at + columns));
  const wanted = rows.map((row, i) => {
    const near = row.filter((node) => links[node].length > 0);
    return near.length > 0 ? near.reduce((sum, node) => sum + mean(links[node], y), 0) / near.length : y[row[0]] || i * ROW;
  });
  spaced(wanted).forEach((height, i) => { for (const node of rows[i]) y[node] = height; });
}

export function layout({ count, sources, targets, directed, aspect }) {
  const edges = [...sources.keys()];
  const lines = edges.filter((edge) => directed[edge]);
  const loose = edges.filter((edge) => !directed[edge]);
  const parents = neighbours(count, lines, targets, sources);
  const children = neighbours(count, lines, sources, targets);
  const relatives = neighbours(count, loose, sources, targets);
  for (const edge of loose) relatives[targets[edge]].push(sources[edge]);
  const layer = layersOf(count, parents, children);
  placeRelated(layer, parents.map((list, node) => (list.length + children[node].length > 0 ? 1 : 0)), relatives);
  const depth = layer.reduce((most, value) => Math.max(most, value), 0) + 1;
  const layers = Array.from({ length: depth }, () => []);
  for (let node = 0; node < count; node += 1) layers[layer[node]].push(node);
  orderLayers(layers, parents, children, firstOrder(count, parents, children, relatives));

  const most = Math.max(LEAST_ROWS, Math.ceil(Math.sqrt((count * COLUMN) / ROW / aspect)));
  const columns = layers.map((members) => Math.max(1, Math.ceil(members.length / most)));
  const x = new Float32Array(count);
  const y = new Float32Array(count);
  let left = 0;
  layers.forEach((members, at) => {
    members.forEach((node, i) => { x[node] = left + (i % columns[at]) * COLUMN; });
    left += (columns[at] - 1) * COLUMN + NODE_WIDTH + LAYER_GAP + 14 * Math.min(8, Math.log2(columns[at]));
  });
  layers.forEach((members, at) => placeLayer(members, columns[at], parents, y));
  for (let at = depth - 2; at >= 0; at -= 1) placeLayer(layers[at], columns[at], children, y);
  for (let at = 1; at < depth; at += 1) placeLayer(layers[at], columns[at], parents, y);
  return { x, y, layers };
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.addEventListener("message", (event) => {
    const placed = layout(event.data);
    self.postMessage(placed, [placed.x.buffer, placed.y.buffer]);
  });
}
