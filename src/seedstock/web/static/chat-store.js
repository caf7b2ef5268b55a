// Keeps a chat on the hub. What could not be saved waits and goes with the next try; the chat goes on meanwhile.
import { api } from "./chat-api.js";

const MAX_TITLE = 60;

export function titleOf(text) {
  const line = text.trim().split("\n", 1)[0].trim() || "New chat";
  return line.length > MAX_TITLE ? `${line.slice(0, MAX_TITLE - 1).trimEnd()}…` : line;
}

export class Store {
  /** `onState(error or null)` after every try; `onCreated(chat)` when the hub has given the chat a name. */
  constructor({ id, onState, onCreated }) {
    this.onState = onState;
    this.onCreated = onCreated;
    this.reset(id);
    this.tail = Promise.resolve();
  }

  /** Forgets the chat; the next message begins another. */
  reset(id = null) {
    this.id = id;
    this.waiting = [];
    this.changes = {};
  }

  /** Saves messages; `describe()` gives title, model and settings if the chat is yet to be made. */
  save(messages, describe) {
    this.describe = describe ?? this.describe;
    this.waiting.push(...messages);
    return this.flush();
  }

  /** Saves title, model, settings or the current message of a chat that is on the hub. */
  change(changes) {
    Object.assign(this.changes, changes);
    return this.id ? this.flush() : Promise.resolve();
  }

  flush() {
    this.tail = this.tail.then(() => this.#send());
    return this.tail;
  }

  async #send() {
    const [messages, changes] = [[...this.waiting], this.changes];
    try {
      if (!this.id && messages.length) {
        const chat = await api("POST", "/api/chats", { ...this.describe(), messages });
        this.id = chat.id;
        this.onCreated(chat);
      } else if (messages.length) {
        await api("POST", `/api/chats/${this.id}/messages`, { messages });
      }
      this.waiting = this.waiting.slice(messages.length);
      if (this.id && Object.keys(changes).length) {
        this.changes = {};
        await api("PATCH", `/api/chats/${this.id}`, changes);
      }
      this.onState(null);
    } catch (error) {
      this.changes = { ...changes, ...this.changes };
      this.onState(error);
    }
  }
}
