// The list of one's chats: search, rename, delete with a way back.
import { announce } from "./app.js";
import { api } from "./chat-api.js";
import { iconButton, make } from "./chat-view.js";

const PAGE = 40;
const UNDO_MS = 10_000;
const get = (id) => document.getElementById(id);

export class ChatList {
  /** `current()` is the id of the chat that is open; `onDeleted` and `onRenamed` hear of changes to it. */
  constructor({ current, onDeleted }) {
    this.current = current;
    this.onDeleted = onDeleted;
    this.chats = [];
    this.search = "";
    let timer = 0;
    get("chat-search").addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.search = event.target.value.trim();
        this.load();
      }, 200);
    });
    get("chat-more").addEventListener("click", () => this.load(this.chats.length));
    get("toast-undo").addEventListener("click", () => this.undo());
  }

  async load(from = 0) {
    const query = new URLSearchParams({ limit: PAGE, cursor: from, search: this.search });
    try {
      const found = await api("GET", `/api/chats?${query}`);
      this.chats = from ? [...this.chats, ...found] : found;
      get("chat-more").hidden = found.length < PAGE;
      this.draw(this.search ? "No chat matches." : "None yet.");
    } catch (error) {
      this.draw(`Your chats cannot be listed: ${error.message}`);
    }
  }

  draw(ifEmpty = "None yet.") {
    get("chat-list").replaceChildren(...this.chats.map((chat) => this.item(chat)));
    get("chat-list-empty").hidden = this.chats.length > 0;
    get("chat-list-empty").textContent = ifEmpty;
  }

  item(chat) {
    const link = make("a", "", chat.title);
    link.href = `/chat/${chat.id}`;
    link.title = chat.title;
    const isCurrent = chat.id === this.current();
    if (isCurrent) link.setAttribute("aria-current", "page");
    const item = make("li", isCurrent ? "chat-item is-current" : "chat-item", link);
    item.append(
      iconButton("edit", `Rename ${chat.title}`, () => this.rename(chat, item)),
      iconButton("trash", `Delete ${chat.title}`, () => this.remove(chat)),
    );
    return item;
  }

  rename(chat, item) {
    const field = make("input", "");
    field.type = "text";
    field.value = chat.title;
    field.maxLength = 200;
    field.setAttribute("aria-label", "Title");
    const form = make("form", "", field);
    const finish = async (save) => {
      const title = field.value.trim();
      if (save && title && title !== chat.title) {
        try {
          Object.assign(chat, await api("PATCH", `/api/chats/${chat.id}`, { title }));
          announce("Renamed");
        } catch (error) {
          this.say(`It was not renamed: ${error.message}`);
        }
      }
      this.draw();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      field.onblur = null;
      finish(true);
    });
    field.onblur = () => finish(true);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      field.onblur = null;
      finish(false);
    });
    item.replaceChildren(form);
    field.select();
  }

  /** Deletes at once, for good. What is needed to put the chat back stays in this page for a while, nowhere else. */
  async remove(chat) {
    try {
      const { title, model, settings, current, messages } = await api("GET", `/api/chats/${chat.id}`);
      await api("DELETE", `/api/chats/${chat.id}`);
      this.removed = { title, model, settings, current: current ?? undefined, messages };
    } catch (error) {
      this.say(`It was not deleted: ${error.message}`);
      return;
    }
    this.chats = this.chats.filter((other) => other.id !== chat.id);
    this.draw();
    this.say(`Deleted “${chat.title.slice(0, 40)}”.`, true);
    if (chat.id === this.current()) this.onDeleted();
  }

  async undo() {
    get("toast").hidden = true;
    try {
      const chat = await api("POST", "/api/chats", this.removed);
      location.assign(`/chat/${chat.id}`);
    } catch (error) {
      this.say(`It cannot be put back: ${error.message}`);
    }
  }

  say(text, undoable = false) {
    get("toast-text").textContent = text;
    get("toast-undo").hidden = !undoable;
    get("toast").hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => {
      get("toast").hidden = true;
      this.removed = null;
    }, UNDO_MS);
  }

  /** A chat was made or changed: the list is read again, so that the last changed comes first. */
  refresh() {
    return this.load();
  }
}
