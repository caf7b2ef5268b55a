// The chat tab: conversation state, and how it is drawn.
import { announce, copyText, csrfToken } from "./app.js";
import { renderMarkdown } from "./chat-markdown.js";
import { splitThinking, streamReply } from "./chat-stream.js";

const get = (id) => document.getElementById(id);
const { model, endpoint } = get("chat").dataset;
const [log, intro, composer, prompt, send, stop, status] = ["chat-log", "chat-intro", "composer", "prompt", "send", "stop", "chat-status"].map(get);
const idleStatus = status.textContent;

let turns = []; // {role, content} as the API takes them, without the system prompt
let running = null; // AbortController of the reply being written

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function iconButton(icon, label, onClick) {
  const button = make("button", "icon-button", get(icon).content.cloneNode(true));
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", () => onClick(button));
  return button;
}

function keepAtEnd(change) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function addUserMessage(text) {
  intro.hidden = true;
  log.append(make("div", "message message-user", text));
  log.scrollTop = log.scrollHeight;
}

/** A reply on the page; `update` redraws it at most once a frame. */
function addReply() {
  const node = make("div", "message message-assistant is-streaming");
  const reasoning = make("details", "reasoning", make("summary", "", "Thinking"), make("div", "reasoning-text"));
  const body = make("div", "message-body prose");
  reasoning.hidden = true;
  reasoning.open = true;
  node.append(reasoning, body);
  log.append(node);
  let frame = 0;
  let latest = { reasoning: "", answer: "" };
  const draw = () => keepAtEnd(() => {
    frame = 0;
    reasoning.hidden = !latest.reasoning.trim();
    reasoning.lastChild.textContent = latest.reasoning.trim();
    if (latest.answer && reasoning.firstChild.textContent === "Thinking") {
      reasoning.firstChild.textContent = "Thought first";
      reasoning.open = false;
    }
    body.replaceChildren(...renderMarkdown(latest.answer));
  });
  return {
    node,
    update(parts) {
      latest = parts;
      frame ||= requestAnimationFrame(draw);
    },
    finish() {
      cancelAnimationFrame(frame);
      draw();
      node.classList.remove("is-streaming");
    },
  };
}

function addTools(node, text, note) {
  document.querySelectorAll(".regenerate").forEach((button) => button.remove());
  const again = iconButton("icon-refresh", "Write another reply", regenerate);
  again.classList.add("regenerate");
  const tools = [iconButton("icon-copy", "Copy the reply", (button) => copyText(text, button)), again, make("span", "tnum", note)];
  keepAtEnd(() => node.append(make("div", "message-tools", ...tools)));
}

function requestBody() {
  const system = get("system").value.trim();
  const messages = system ? [{ role: "system", content: system }, ...turns] : turns;
  return { model, messages, temperature: get("temperature").valueAsNumber, max_tokens: get("max-tokens").valueAsNumber || undefined };
}

function setRunning(controller) {
  running = controller;
  send.hidden = controller !== null;
  stop.hidden = controller === null;
}

function rate(count, firstAt) {
  const seconds = (performance.now() - firstAt) / 1000;
  return seconds > 0.2 && count > 1 ? `${((count - 1) / seconds).toFixed(1)} tokens/s` : "";
}

async function reply() {
  const controller = new AbortController();
  setRunning(controller);
  status.textContent = "Waiting for the engine…";
  const view = addReply();
  let [content, thought, pieces, firstAt] = ["", "", 0, 0];
  const parts = () => {
    const split = splitThinking(content);
    return { reasoning: thought + split.reasoning, answer: split.answer };
  };
  const onDelta = (delta) => {
    if (!delta.content && !delta.reasoning) return;
    firstAt ||= performance.now();
    pieces += 1;
    content += delta.content;
    thought += delta.reasoning;
    view.update(parts());
    if (pieces % 5 === 0) status.textContent = `${pieces} tokens ${rate(pieces, firstAt)}`;
  };
  let note = "";
  try {
    const usage = await streamReply({ endpoint, token: csrfToken(), request: requestBody(), signal: controller.signal, onDelta });
    const count = usage?.completion_tokens ?? pieces;
    note = [`${count} tokens`, rate(count, firstAt)].filter(Boolean).join(" · ");
  } catch (error) {
    if (error.name === "AbortError") note = "Stopped";
    else keepAtEnd(() => view.node.append(make("p", "message-error", error.message)));
  }
  view.finish();
  setRunning(null);
  status.textContent = idleStatus;
  const { answer } = parts();
  turns.push({ role: "assistant", content: answer });
  addTools(view.node, answer, note);
  announce(answer || note);
}

function regenerate() {
  if (running || turns.at(-1)?.role !== "assistant") return;
  turns.pop();
  log.lastElementChild.remove();
  reply();
}

function submit(text) {
  if (!text.trim() || running) return;
  turns.push({ role: "user", content: text });
  addUserMessage(text);
  prompt.value = "";
  reply();
}

function clear() {
  running?.abort();
  turns = [];
  log.querySelectorAll(".message").forEach((message) => message.remove());
  intro.hidden = false;
  prompt.focus();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(prompt.value);
});
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit(prompt.value);
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
stop.addEventListener("click", () => running?.abort());
get("clear").addEventListener("click", clear);
get("temperature").addEventListener("input", (event) => { get("temperature-value").textContent = event.target.value; });
for (const starter of document.querySelectorAll("[data-starter]")) {
  starter.disabled = false;
  starter.addEventListener("click", () => submit(starter.textContent));
}
if (matchMedia("(max-width: 900px)").matches) document.querySelector(".chat-options").open = false;
