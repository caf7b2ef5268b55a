// The words inside the boxes of the family graph, cut to the room there; each is measured once.

export class Labels {
  constructor(context, font, room) {
    Object.assign(this, { context, font, room });
    this.known = new Map();
  }

  /** The name without its owner, and a line of owner, size and licence. */
  of(key, node) {
    let found = this.known.get(key);
    if (!found) {
      const cut = node.repo.indexOf("/");
      const size = node.parameters ? sizeText(node.parameters) : null;
      const detail = [node.repo.slice(0, Math.max(0, cut)), size, node.licence].filter(Boolean).join(" · ");
      found = { name: this.clip(node.repo.slice(cut + 1), "600 12.5px"), detail: this.clip(detail, "11px") };
      this.known.set(key, found);
    }
    return found;
  }

  clip(text, size) {
    const { context, room } = this;
    context.font = `${size} ${this.font}`;
    const width = context.measureText(text).width;
    if (width <= room) return text;
    let keep = Math.floor((text.length * room) / width);
    while (keep > 1 && context.measureText(`${text.slice(0, keep)}…`).width > room) keep -= 1;
    return `${text.slice(0, keep)}…`;
  }
}

/** A number of parameters as names of models spell it: `135M`, `1.71B`. */
export function sizeText(number) {
  const units = ["", "K", "M", "B", "T"];
  let [value, unit] = [number, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 100 ? Number(value.toPrecision(3)) : Math.round(value)}${units[unit]}`;
}
