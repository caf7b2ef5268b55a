// Keeps the page of a job up to date by its server-sent events; without scripts the page shows how it stood.
import { announce } from "./app.js";
import { listen } from "./job-events.js";
import { Plots } from "./job-plots.js";
import { Stages } from "./stage-graph.js";

const root = document.getElementById("job");
const get = (id) => document.getElementById(id);
const plots = new Plots(get("plots"));
const stages = new Stages(document.querySelector("[data-stages]"), root.dataset.job);
const MOST_LINES = 500;
let drawing = false;

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function progress(said) {
  const percent = Math.round(100 * said.fraction);
  get("job-bar").value = percent;
  const left = said.eta_s === undefined ? "" : ` · about ${duration(said.eta_s)} left`;
  get("job-percent").textContent = `${percent} %${left}`;
  get("job-message").textContent = said.message;
  get("job-progress").hidden = false;
}

function line(entry) {
  const log = get("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const row = document.createElement("div");
  row.append(Object.assign(document.createElement("time"), { textContent: entry.at.slice(11, 19) }), ` ${entry.text}`);
  log.append(row);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  get("log-panel").hidden = false;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function sample(said) {
  const made = get("sample-part").content.cloneNode(true);
  const [step, prompt, text] = ["[data-step]", "[data-prompt]", "[data-text]"].map((name) => made.querySelector(name));
  step.textContent = `step ${said.step ?? "?"}`;
  prompt.textContent = said.prompt ?? "";
  text.textContent = said.text ?? "";
  const list = get("samples");
  list.prepend(made);
  while (list.childElementCount > 6) list.lastElementChild.remove();
  get("samples-panel").hidden = false;
}

function metrics(said) {
  if (stages.measure(said)) return;
  plots.add(said);
  if (drawing) return;
  drawing = true; // a burst of old entries is drawn once
  setTimeout(() => { drawing = false; plots.draw(); }, 250);
}

const tell = {
  log: line,
  metrics: (entry) => metrics(entry.data),
  sample: (entry) => sample(entry.data),
  stage: (entry) => {
    get("job-stage").textContent = entry.data.name ?? "";
    stages.hear(entry);
  },
  progress,
  state: (said) => {
    if (said.state !== root.dataset.state) location.reload(); // what may be done now, and the times, are the server's to say
  },
  end: (said) => {
    stop?.();
    announce(`The job is over: ${said.state}`);
    location.reload();
  },
};

let stop = null;
const log = get("log");
log.scrollTop = log.scrollHeight;
if (root.hasAttribute("data-live")) stop = listen(root.dataset.job, Number(root.dataset.newest), tell);
