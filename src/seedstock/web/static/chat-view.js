// How messages are drawn. Every text of a person or a model becomes a text node, never HTML.
import { copyText } from "./app.js";
import { renderMarkdown } from "./chat-markdown.js";

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function glyph(name) {
  return document.getElementById(`icon-${name}`).content.cloneNode(true);
}

export function iconButton(name, label, onClick) {
  const button = make("button", "icon-button", glyph(name));
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", () => onClick(button));
  return button;
}

export function copyButton(text, label) {
  return iconButton("copy", label, (button) => copyText(text(), button));
}

function kibibytes(text) {
  const bytes = new Blob([text]).size;
  return bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KiB`;
}

export function fileLabel(file) {
  return `${file.name} · ${kibibytes(file.text)}`;
}

export function attached(file) {
  return make("details", "attached", make("summary", "", glyph("file"), ` ${fileLabel(file)}`), make("pre", "", file.text));
}

/** "12 tokens · 8.1 tokens/s · first after 310 ms" */
export function figuresText(figures) {
  if (!figures) return "";
  const { tokens, seconds, firstMs, stopped } = figures;
  const parts = [stopped ? "Stopped" : ""];
  if (tokens) parts.push(`${tokens} ${tokens === 1 ? "token" : "tokens"}`);
  if (tokens > 1 && seconds > 0.05) parts.push(`${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
  if (firstMs) parts.push(`first after ${firstMs < 1000 ? `${Math.round(firstMs)} ms` : `${(firstMs / 1000).toFixed(1)} s`}`);
  return parts.filter(Boolean).join(" · ");
}

/** An answer on the page; `update({reasoning, answer})` redraws it at most once a frame. */
export function answerView(keepAtEnd = (change) => change()) {
  const reasoning = make("details", "reasoning", make("summary", "", "Thinking"), make("div", "reasoning-text"));
  const body = make("div", "message-body prose");
  const node = make("div", "message message-assistant", reasoning, body);
  reasoning.hidden = true;
  reasoning.open = true;
  let frame = 0;
  let latest = { reasoning: "", answer: "" };
  const fold = () => {
    if (reasoning.firstChild.textContent !== "Thinking") return;
    reasoning.firstChild.textContent = "Thought first";
    reasoning.open = false;
  };
  const draw = () => keepAtEnd(() => {
    frame = 0;
    reasoning.hidden = !latest.reasoning.trim();
    reasoning.lastChild.textContent = latest.reasoning.trim();
    if (latest.answer) fold();
    body.replaceChildren(...renderMarkdown(latest.answer));
  });
  return {
    node,
    update(parts) {
      latest = parts;
      frame ||= requestAnimationFrame(draw);
    },
    stream() {
      node.classList.add("is-streaming");
    },
    finish() {
      cancelAnimationFrame(frame);
      draw();
      fold();
      addCodeCopies(body);
      node.classList.remove("is-streaming");
    },
  };
}

function addCodeCopies(body) {
  for (const pre of body.querySelectorAll("pre")) {
    const code = pre.textContent;
    const holder = make("div", "code-block");
    pre.replaceWith(holder);
    holder.append(pre, copyButton(() => code, "Copy the code"));
  }
}

/** Arrows between the siblings of a message; null if it has none. */
export function branchArrows(tree, message, onShow) {
  const siblings = tree.siblings(message);
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message);
  const previous = iconButton("left", "Previous version", () => onShow(siblings[at - 1]));
  const next = iconButton("right", "Next version", () => onShow(siblings[at + 1]));
  previous.disabled = at === 0;
  next.disabled = at === siblings.length - 1;
  const group = make("span", "branches", previous, make("span", "", `${at + 1}/${siblings.length}`), next);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Versions of this message");
  return group;
}
