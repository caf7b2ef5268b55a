// Upload with progress: each file is PUT on its own, then one form post commits what arrived.
// Without this script the same form sends everything as one multipart request.
import { announce, csrfToken } from "./app.js";

const get = (id) => document.getElementById(id);
const [form, zone, picker, list, status, submit] = ["upload", "dropzone", "files", "upload-list", "upload-status", "upload-submit"].map(get);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const entries = new Map(); // path -> {file, row, staged}
let active = null; // XMLHttpRequest of the file on its way

function sizeText(bytes) {
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return unit === 0 ? `${value} B` : `${value.toPrecision(3)} ${UNITS[unit]}`;
}

function addFile(file, path) {
  entries.get(path)?.row.remove();
  const row = get("upload-row").content.firstElementChild.cloneNode(true);
  row.querySelector(".upload-name").textContent = path;
  row.querySelector(".upload-size").textContent = sizeText(file.size);
  const remove = row.querySelector(".upload-remove");
  remove.setAttribute("aria-label", `Remove ${path}`);
  remove.addEventListener("click", () => removeFile(path));
  list.append(row);
  entries.set(path, { file, row, staged: null });
  refresh();
}

function removeFile(path) {
  entries.get(path).row.remove();
  entries.delete(path);
  refresh();
}

function refresh() {
  list.hidden = entries.size === 0;
  submit.disabled = entries.size === 0 || active !== null;
}

function setState(entry, state, text) {
  entry.row.className = `upload-row is-${state}`;
  entry.row.querySelector(".upload-state").textContent = text;
  entry.row.querySelector(".upload-remove").hidden = state === "active";
}

function targetPath(path) {
  const folder = get("folder").value.trim().replace(/^\/+|\/+$/g, "");
  return folder ? `${folder}/${path}` : path;
}

/** Sends one file's bytes; resolves to the staged reference that the commit names. */
function putFile(entry, path) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const bar = entry.row.querySelector("progress");
    active = request;
    request.open("PUT", `${form.getAttribute("action")}/${path.split("/").map(encodeURIComponent).join("/")}`);
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      bar.value = event.total ? event.loaded / event.total : 1;
      setState(entry, "active", `${Math.floor(bar.value * 100)}%`);
    });
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response.staged);
      else reject(new Error(request.response?.error ?? `The server answered ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Error("The connection was lost")));
    request.send(entry.file);
  });
}

async function sendAll() {
  for (const [path, entry] of entries) {
    if (entry.staged) continue;
    setState(entry, "active", "0%");
    try {
      entry.staged = await putFile(entry, targetPath(path));
      setState(entry, "done", "Ready");
    } catch (error) {
      setState(entry, "failed", error.message);
      throw error;
    }
  }
}

function commit() {
  picker.disabled = true; // its files have arrived already
  for (const entry of entries.values()) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "staged", value: entry.staged });
    form.append(field);
  }
  status.textContent = "Committing…";
  form.submit();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  get("folder").readOnly = true;
  submit.disabled = true;
  status.textContent = "Uploading…";
  try {
    await sendAll();
    commit();
  } catch (error) {
    status.textContent = `Not committed: ${error.message}. Try again to send what is missing.`;
    announce(status.textContent);
    active = null;
    refresh();
  }
});

/** Every file below a dropped entry, with its path from the drop. */
async function walk(entry, prefix = "") {
  const path = prefix + entry.name;
  if (entry.isFile) {
    addFile(await new Promise((resolve, reject) => { entry.file(resolve, reject); }), path);
    return;
  }
  const reader = entry.createReader();
  for (;;) { // readEntries answers in batches until it is empty
    const batch = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (batch.length === 0) return;
    for (const child of batch) await walk(child, `${path}/`);
  }
}

picker.addEventListener("change", () => {
  for (const file of picker.files) addFile(file, file.name);
  picker.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("is-over"); });
}
zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("is-over"); });
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("is-over");
  const dropped = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of dropped) await walk(entry);
  announce(`${entries.size} files chosen`);
});

zone.classList.add("has-script");
zone.querySelector(".drop-hint").hidden = false;
get("form-limit").textContent = "Folders can be dropped too. Large files are sent one by one, with progress.";
refresh();
