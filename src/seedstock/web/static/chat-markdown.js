// Markdown of a model's reply -> DOM nodes. Model output is never parsed as HTML: every text ends up in a
// text node, and the only attributes that carry any of it are link targets that were checked to be http(s).
const INLINE = /(`+)([\s\S]+?)\1|\*\*([\s\S]+?)\*\*|\*([^*\s][^*\n]*?)\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>()"'`]+[^\s<>()"'`.,;:!?])/;

function element(tag, children = [], attributes = {}) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function link(href, text) {
  return element("a", [text], { href, rel: "noopener nofollow", target: "_blank" });
}

function inline(text) {
  const nodes = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    if (match.index > 0) nodes.push(rest.slice(0, match.index));
    const [, , code, strong, em, label, href, bare] = match;
    if (code !== undefined) nodes.push(element("code", [code.trim() || code]));
    else if (strong !== undefined) nodes.push(element("strong", inline(strong)));
    else if (em !== undefined) nodes.push(element("em", inline(em)));
    else if (href !== undefined) nodes.push(link(href, label));
    else nodes.push(link(bare, bare));
    rest = rest.slice(match.index + match[0].length);
  }
  if (rest) nodes.push(rest);
  return nodes;
}

function lines(texts) {
  return texts.flatMap((text, index) => (index ? [element("br"), ...inline(text)] : inline(text)));
}

function takeFence(source, start) {
  const [, marker, language] = /^\s*(`{3,}|~{3,})\s*([\w+#.-]*)/.exec(source[start]);
  let end = start + 1;
  while (end < source.length && !source[end].trim().startsWith(marker)) end += 1;
  const code = element("code", [source.slice(start + 1, end).join("\n")]);
  if (language) code.dataset.language = language;
  return [element("pre", [code], { tabindex: "0" }), end + 1];
}

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

function takeList(source, start) {
  const first = ITEM.exec(source[start]);
  const ordered = /\d/.test(first[2]);
  const items = [];
  let at = start;
  while (at < source.length) {
    const match = ITEM.exec(source[at]);
    if (match && match[1].length <= first[1].length + 1) items.push([match[3]]);
    else if (source[at].trim() && /^\s{2,}/.test(source[at])) items.at(-1).push(source[at].trim());
    else if (source[at].trim() || !ITEM.test(source[at + 1] ?? "")) break;
    at += 1;
  }
  const attributes = ordered && !first[2].startsWith("1") ? { start: String(parseInt(first[2], 10)) } : {};
  const nodes = items.map(([head, ...nested]) => {
    const item = element("li", inline(head));
    if (nested.length) item.append(...blocks(nested));
    return item;
  });
  return [element(ordered ? "ol" : "ul", nodes, attributes), at];
}

function cells(row) {
  return row.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function takeTable(source, start) {
  const head = element("tr", cells(source[start]).map((text) => element("th", inline(text), { scope: "col" })));
  const body = [];
  let at = start + 2;
  for (; at < source.length && source[at].includes("|"); at += 1) {
    body.push(element("tr", cells(source[at]).map((text) => element("td", inline(text)))));
  }
  return [element("table", [element("thead", [head]), element("tbody", body)]), at];
}

function takeQuote(source, start) {
  let at = start;
  while (at < source.length && source[at].startsWith(">")) at += 1;
  return [element("blockquote", blocks(source.slice(start, at).map((text) => text.replace(/^> ?/, "")))), at];
}

function isTable(source, at) {
  return source[at].includes("|") && /^\s*\|?\s*:?-{2,}[\s|:-]*$/.test(source[at + 1] ?? "");
}

function startsBlock(source, at) {
  return /^(\s*(`{3}|~{3})|#{1,6}\s|>|\s*([-*_])(\s*\3){2,}\s*$)/.test(source[at]) || ITEM.test(source[at]) || isTable(source, at);
}

function takeParagraph(source, start) {
  let at = start + 1;
  while (at < source.length && source[at].trim() && !startsBlock(source, at)) at += 1;
  return [element("p", lines(source.slice(start, at))), at];
}

function takeBlock(source, at) {
  const text = source[at];
  if (/^\s*(`{3}|~{3})/.test(text)) return takeFence(source, at);
  const heading = /^(#{1,6})\s+(.*?)#*$/.exec(text);
  if (heading) return [element(`h${Math.min(heading[1].length + 2, 6)}`, inline(heading[2])), at + 1];
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(text)) return [element("hr"), at + 1];
  if (text.startsWith(">")) return takeQuote(source, at);
  if (isTable(source, at)) return takeTable(source, at);
  if (ITEM.test(text)) return takeList(source, at);
  return takeParagraph(source, at);
}

function blocks(source) {
  const nodes = [];
  let at = 0;
  while (at < source.length) {
    if (!source[at].trim()) {
      at += 1;
      continue;
    }
    const [node, next] = takeBlock(source, at);
    nodes.push(node);
    at = next;
  }
  return nodes;
}

/** Nodes that show `text`; unfinished Markdown (a reply still streaming) is shown as far as it goes. */
export function renderMarkdown(text) {
  return blocks(text.replaceAll("\r\n", "\n").split("\n"));
}
