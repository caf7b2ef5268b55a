// The chat page: the conversation that is open, and what its buttons do.
import { announce } from "./app.js";
import { write } from "./chat-answer.js";
import { api, fillModels, listModels } from "./chat-api.js";
import { Files } from "./chat-files.js";
import { ChatList } from "./chat-list.js";
import { drawAnswer, drawEditor, drawFailure, drawQuestion } from "./chat-messages.js";
import { onSettingsChange, parameters, readSettings, showSettings } from "./chat-sampling.js";
import { setUpSharing } from "./chat-share.js";
import { Store, titleOf } from "./chat-store.js";
import { Tree, conversation, newId } from "./chat-tree.js";
import { answerView } from "./chat-view.js";

const get = (id) => document.getElementById(id);
const MODEL_KEY = "chat-model";
const [log, intro, composer, prompt, send, stop, status, select] = ["chat-log", "chat-intro", "composer", "prompt", "send", "stop", "chat-status", "model"].map(get);
const idleStatus = status.textContent;
const opened = get("chat").dataset;

let tree = new Tree();
let running = null; // AbortController of the answer being written
let failed = null; // {at, question, message}: after which message an answer failed, and to which question
let editing = null; // id of the question being edited

const store = new Store({
  id: opened.chat || null,
  onState(error) {
    get("unsaved").hidden = !error;
    get("unsaved").textContent = error ? `Not saved: ${error.message} You can go on; it is tried again with the next message.` : "";
  },
  onCreated(chat) {
    history.replaceState(null, "", `/chat/${chat.id}`);
    showActions();
    list.refresh();
  },
});
const list = new ChatList({ current: () => store.id, onDeleted: startAnew });
const files = new Files({ input: get("attach"), opener: get("attach-open"), list: get("files"), onError: say });

function say(text) {
  status.textContent = text;
}

function recall() {
  try {
    return localStorage.getItem(MODEL_KEY);
  } catch {
    return null; // The choice then lasts for this page only.
  }
}

function remember(model) {
  try {
    localStorage.setItem(MODEL_KEY, model);
  } catch {
    // As above.
  }
}

function keepAtEnd(change) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showActions() {
  get("chat-actions").hidden = !store.id;
  get("export-markdown").href = `/api/chats/${store.id}/export?format=markdown`;
  get("export-json").href = `/api/chats/${store.id}/export?format=json`;
}

function describe() {
  const first = tree.path()[0];
  return { title: titleOf(first?.content || first?.attachments?.[0]?.name || ""), model: select.value, settings: readSettings() };
}

/** Draws the branch on show anew. */
function draw() {
  log.querySelectorAll(":scope > :not(#chat-intro)").forEach((node) => node.remove());
  const path = tree.path();
  intro.hidden = path.length > 0;
  for (const message of path) {
    if (message.role === "assistant") log.append(drawAnswer(tree, message, act));
    else if (message.id === editing) log.append(drawEditor(message, act));
    else log.append(...drawQuestion(tree, message, act));
  }
  if (failed?.at === tree.current) log.append(drawFailure(failed, act));
  log.scrollTop = log.scrollHeight;
}

const act = {
  show,
  answer,
  /** Opens a question for changes; null closes it. */
  edit(message) {
    if (running) return;
    editing = message?.id ?? null;
    draw();
    log.querySelector(".is-edited textarea")?.focus();
  },
  sendEdited(message, text) {
    editing = null;
    ask(text, message.attachments ?? [], message.parent ?? null);
  },
};

function show(message) {
  if (running) return;
  tree.show(message);
  failed = null;
  store.change({ current: tree.current });
  draw();
}

function setRunning(controller) {
  running = controller;
  send.hidden = controller !== null;
  stop.hidden = controller === null;
  log.classList.toggle("is-busy", controller !== null);
}

/** Has the model answer the question of that id, beside the answers that it may have already. */
async function answer(question) {
  if (running || !question) return;
  if (!select.value) {
    say("Choose a model first.");
    return;
  }
  tree.current = question;
  failed = null;
  draw();
  const [asked, controller] = [tree, new AbortController()];
  setRunning(controller);
  const view = answerView(keepAtEnd);
  view.stream();
  log.append(view.node);
  log.scrollTop = log.scrollHeight;
  const model = select.value;
  const settings = readSettings();
  const request = { model, messages: conversation(settings.system, tree.pathTo(question)), ...parameters(settings) };
  const written = await write(request, controller.signal, view, say);
  view.finish();
  setRunning(null);
  say(idleStatus);
  if (tree !== asked) return;
  if (written.error) failed = { at: question, question, message: written.error };
  if (!written.error || written.content || written.reasoning) {
    const { content, reasoning, figures } = written;
    const message = { id: newId(), parent: question, role: "assistant", content, reasoning, model, figures };
    tree.add(message);
    store.save([message], describe).then(() => list.refresh());
    if (written.error) failed = { at: message.id, question, message: written.error };
  }
  draw();
  announce(written.error || written.content || "Stopped");
}

/** Adds a question after `parent` and has it answered. */
function ask(text, attachments, parent) {
  const message = { id: newId(), parent, role: "user", content: text, ...(attachments.length ? { attachments } : {}) };
  tree.add(message);
  store.save([message], describe);
  answer(message.id);
}

function submit(text) {
  if (running) return;
  if (!select.value) {
    say("Choose a model first.");
    return;
  }
  if (!text.trim() && !files.held.length) return;
  const last = tree.path().at(-1);
  // A question that got no answer keeps its place; the next one stands beside it.
  const parent = last?.role === "user" ? (last.parent ?? null) : (last?.id ?? null);
  prompt.value = "";
  editing = null;
  ask(text, files.take(), parent);
}

/** The chat that was open is deleted: an empty one in its place, on the same page, which can still put it back. */
function startAnew() {
  running?.abort();
  tree = new Tree();
  [failed, editing] = [null, null];
  store.reset();
  history.replaceState(null, "", "/chat");
  showActions();
  draw();
}

async function open() {
  const models = listModels();
  if (opened.chat) {
    try {
      const chat = await api("GET", `/api/chats/${opened.chat}`);
      tree = new Tree(chat.messages, chat.current);
      showSettings(chat.settings);
      if (tree.path().at(-1)?.role === "user") failed = { at: tree.current, question: tree.current, message: "This message has no answer yet." };
      document.title = `${chat.title} · ${document.title.split(" · ").at(-1)}`;
      showActions();
      draw();
    } catch (error) {
      say(error.message);
    }
  }
  try {
    const found = await models;
    const remembered = recall();
    const usual = found.some((model) => model.id === remembered) ? remembered : found[0]?.id;
    fillModels(select, found, opened.model || usual);
  } catch (error) {
    fillModels(select, [], opened.model);
    say(`Models cannot be listed: ${error.message}`);
  }
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
select.addEventListener("change", () => {
  remember(select.value);
  store.change({ model: select.value });
});
onSettingsChange((settings) => store.change({ settings }));
addEventListener("beforeunload", (event) => { if (store.waiting.length && tree.messages.size) event.preventDefault(); });
for (const starter of document.querySelectorAll("[data-starter]")) {
  starter.disabled = false;
  starter.addEventListener("click", () => submit(starter.textContent));
}
if (matchMedia("(max-width: 1180px)").matches) get("chat-options").open = false;
if (matchMedia("(max-width: 800px)").matches) get("chat-list-fold").open = false;
setUpSharing(() => ({ id: store.id, end: tree.current }));
list.load();
open();
