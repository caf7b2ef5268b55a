// A chat as a tree of messages. Editing a question or asking for another answer adds a sibling.

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Tree {
  constructor(messages = [], current = null) {
    this.messages = new Map(messages.map((message) => [message.id, message]));
    this.current = this.messages.has(current) ? current : (messages.at(-1)?.id ?? null);
  }

  /** Messages that follow `id` (null: that begin the chat), oldest first. */
  children(id) {
    return [...this.messages.values()].filter((message) => (message.parent ?? null) === id);
  }

  siblings(message) {
    return this.children(message.parent ?? null);
  }

  /** From the first message to the current one. */
  path() {
    return this.pathTo(this.current);
  }

  pathTo(id) {
    const found = [];
    for (let message = this.messages.get(id); message; message = this.messages.get(message.parent)) found.unshift(message);
    return found;
  }

  add(message) {
    this.messages.set(message.id, message);
    this.current = message.id;
  }

  /** Shows the branch through `message`, to its newest end. */
  show(message) {
    let at = message;
    for (let next = this.children(at.id); next.length; next = this.children(at.id)) at = next.at(-1);
    this.current = at.id;
  }
}

/** A branch as the API of generation takes it; files go before the text that they belong to. */
export function conversation(system, path) {
  const turns = path.map((message) => {
    const files = (message.attachments ?? []).map((file) => `File ${file.name}:\n\n${file.text}\n\n`).join("");
    return { role: message.role, content: files + message.content };
  });
  return system ? [{ role: "system", content: system }, ...turns] : turns;
}
