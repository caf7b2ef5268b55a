// Which two to four models are compared.
import { fillModels } from "./chat-api.js";
import { iconButton, make } from "./chat-view.js";

const get = (id) => document.getElementById(id);
const MOST = 4;

let models = [];

function pickers() {
  return [...document.querySelectorAll("#compare-models select")];
}

export function chosenModels() {
  return pickers().map((select) => select.value);
}

/** Offers `listed`; picks those `asked` for, and as many more as make two. */
export function offer(listed, asked) {
  models = listed;
  const others = models.map(({ id }) => id).filter((id) => !asked.includes(id));
  const chosen = [...asked, ...others].slice(0, Math.max(2, asked.length));
  while (chosen.length < 2) chosen.push(undefined);
  chosen.forEach((id) => addPicker(id));
}

function addPicker(chosen) {
  const number = pickers().length + 1;
  const select = make("select", "");
  select.id = `model-${Date.now()}-${number}`;
  fillModels(select, models, chosen);
  const label = make("label", "", "Model");
  label.htmlFor = select.id;
  const row = make("div", "compare-model", make("div", "field", label, select));
  row.append(iconButton("close", "Remove this model", () => {
    row.remove();
    renumber();
  }));
  get("compare-models").append(row);
  renumber();
}

function renumber() {
  pickers().forEach((select, index) => { select.labels[0].textContent = `Model ${index + 1}`; });
  document.querySelectorAll(".compare-model .icon-button").forEach((button) => { button.hidden = pickers().length <= 2; });
  get("add-model").hidden = pickers().length >= MOST;
}

get("add-model").addEventListener("click", () => addPicker(models.find(({ id }) => !chosenModels().includes(id))?.id));
