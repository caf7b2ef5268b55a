// Small behaviours of every page; nothing here is needed to read or to submit a form.
const announcer = document.getElementById("announcer");

export function announce(text) {
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = text; });
}

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // plain http has no clipboard API
  }
  button.classList.add("is-done");
  announce("Copied");
  setTimeout(() => button.classList.remove("is-done"), 1500);
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr-only";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function toggleTheme() {
  const theme = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // The choice then lasts for this page only.
  }
  announce(`${theme} theme`);
}

// Deleting needs the full name typed; the server checks it again.
function armConfirmation(form) {
  const field = form.elements.namedItem("confirm");
  const button = form.querySelector("button[type=submit]");
  const update = () => { button.disabled = field.value.trim() !== form.dataset.confirm; };
  field.addEventListener("input", update);
  update();
}

function enhance(root) {
  for (const element of root.querySelectorAll("[data-copy], [data-theme-toggle]")) element.hidden = false;
  for (const form of root.querySelectorAll("form[data-confirm]")) armConfirmation(form);
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(except)) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  closeMenus(event.target);
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(document.getElementById(copy.dataset.copy).textContent, copy);
  if (event.target.closest("[data-theme-toggle]")) toggleTheme();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const open = event.target.closest?.("details.menu[open]");
    closeMenus(null);
    open?.querySelector("summary").focus();
  }
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    (document.getElementById("listing-search") ?? document.getElementById("site-search")).focus();
  }
});

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrfToken();
});
document.addEventListener("htmx:afterSwap", (event) => enhance(event.target.parentElement ?? document));

enhance(document);
document.querySelector(".tab[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
