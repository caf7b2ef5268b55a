// Trace a file or a repo: POST /api/trace with progress, then the answer as a table.
// A file is sent as the raw body with its name in X-File-Name; a repo as {"repo": "owner/name"}.
import { announce, csrfToken } from "./app.js";

const get = (id) => document.getElementById(id);
const [fileForm, repoForm, zone, picker] = ["trace-file", "trace-repo", "dropzone", "file"].map(get);
const [busy, state, bar, error, result, none] = ["trace-busy", "trace-state", "trace-progress", "trace-error", "trace-result", "trace-none"].map(get);
const EVIDENCE = { identical: "verified", derived: "verified", partial: "related", contradicted: "contradicted", inconclusive: "declared", none: "none" };
const WORDS = { identical: "Identical", derived: "Derived", partial: "Partly shared", contradicted: "Contradicted", inconclusive: "Inconclusive", none: "No evidence" };
let active = null;

function show(element) {
  for (const other of [busy, error, result, none]) other.hidden = other !== element;
}

function fail(text) {
  active = null;
  error.querySelector("p").textContent = text;
  show(error);
}

function mark(hit) {
  const made = get("trace-parts").content.querySelector(`[data-evidence="${EVIDENCE[hit.verdict] ?? "none"}"]`).cloneNode(true);
  made.querySelector("span").textContent = WORDS[hit.verdict] ?? hit.verdict;
  return made;
}

function cell(tag, ...content) {
  const made = document.createElement(tag);
  made.append(...content);
  return made;
}

function row(hit) {
  const link = Object.assign(document.createElement("a"), { href: `/${hit.repo.split("/").map(encodeURIComponent).join("/")}`, textContent: hit.repo });
  const commit = Object.assign(document.createElement("code"), { textContent: hit.commit.slice(0, 12) });
  const name = cell("th", link, document.createElement("br"), commit);
  name.scope = "row";
  const distance = cell("td", hit.distance === null || hit.distance === undefined ? "–" : String(hit.distance));
  distance.className = "tnum nowrap";
  const made = cell("tr", name, cell("td", mark(hit)), cell("td", hit.kind ?? "–"), distance, cell("td", hit.reason ?? ""));
  return made;
}

function answer(found, subject) {
  active = null;
  get("result-title").textContent = `Related to ${subject}`;
  get("result-count").textContent = `${found.related.length} ${found.related.length === 1 ? "model" : "models"}`;
  get("trace-rows").replaceChildren(...found.related.map(row));
  show(found.related.length > 0 ? result : none);
  announce(found.related.length > 0 ? `${found.related.length} related models` : "No evidence of a relation");
  if (found.related.length > 0) result.focus({ preventScroll: false });
}

function send(body, headers, subject) {
  active?.abort();
  const request = new XMLHttpRequest();
  active = request;
  show(busy);
  bar.value = 0;
  state.textContent = `Sending ${subject}…`;
  request.open("POST", "/api/trace");
  request.setRequestHeader("X-CSRF-Token", csrfToken());
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.total ? event.loaded / event.total : 1;
    state.textContent = `Sending ${subject}: ${Math.floor(bar.value * 100)}%`;
  });
  request.upload.addEventListener("load", () => {
    bar.removeAttribute("value"); // how long the comparison takes is not known
    state.textContent = `Comparing ${subject} with the models of this hub…`;
  });
  request.addEventListener("load", () => {
    if (request.status >= 200 && request.status < 300 && request.response) answer(request.response, subject);
    else fail(request.response?.error ?? `The server answered ${request.status}.`);
  });
  request.addEventListener("error", () => fail("The connection was lost."));
  request.addEventListener("abort", () => { if (active === request) { active = null; show(null); } });
  request.send(body);
}

function sendFile(file) {
  if (!/\.(safetensors|gguf)$/i.test(file.name)) fail(`${file.name} is neither a safetensors nor a GGUF file.`);
  else if (file.size > Number(fileForm.dataset.limit)) fail(`${file.name} is larger than this hub takes for tracing.`);
  else send(file, { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) }, file.name);
}

if (fileForm) {
  zone.classList.add("has-script");
  zone.querySelector(".drop-hint").hidden = false;
  picker.addEventListener("change", () => { if (picker.files[0]) sendFile(picker.files[0]); picker.value = ""; });
  fileForm.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("is-over"); });
  }
  zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("is-over"); });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("is-over");
    if (event.dataTransfer.files[0]) sendFile(event.dataTransfer.files[0]);
  });
  repoForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const repo = get("repo").value.trim();
    if (repo) send(JSON.stringify({ repo }), { "Content-Type": "application/json" }, repo);
  });
  get("trace-cancel").addEventListener("click", () => active?.abort());
}
