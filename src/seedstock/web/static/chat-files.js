// Text files that go with a message: read in the browser, shown as chips.
import { announce } from "./app.js";
import { fileLabel, iconButton, make } from "./chat-view.js";

const MAX_BYTES = 256 * 1024;
const MAX_FILES = 10;

async function readText(file) {
  if (file.size > MAX_BYTES) throw new Error(`${file.name} is larger than ${MAX_BYTES / 1024} KiB.`);
  const bytes = await file.arrayBuffer();
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.includes("\0")) throw new TypeError("NUL");
    return { name: file.name.slice(0, 250), text };
  } catch {
    throw new Error(`${file.name} is no text file in UTF-8.`);
  }
}

export class Files {
  constructor({ input, opener, list, onError }) {
    this.held = [];
    this.list = list;
    this.onError = onError;
    opener.addEventListener("click", () => input.click());
    input.addEventListener("change", async () => {
      await this.add([...input.files]);
      input.value = "";
    });
  }

  async add(files) {
    for (const file of files) {
      try {
        if (this.held.length >= MAX_FILES) throw new Error(`At most ${MAX_FILES} files go with a message.`);
        this.held.push(await readText(file));
        announce(`${file.name} attached`);
      } catch (error) {
        this.onError(error.message);
      }
    }
    this.draw();
  }

  draw() {
    this.list.hidden = !this.held.length;
    this.list.replaceChildren(...this.held.map((file, index) => make("li", "", make("span", "", fileLabel(file)), iconButton("close", `Remove ${file.name}`, () => {
      this.held.splice(index, 1);
      this.draw();
    }))));
  }

  take() {
    const taken = this.held;
    this.held = [];
    this.draw();
    return taken;
  }
}
