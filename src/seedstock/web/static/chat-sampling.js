// The controls of system prompt and sampling, as a chat's settings and as parameters of a request.
const get = (id) => document.getElementById(id);
const number = (id) => (Number.isFinite(get(id).valueAsNumber) ? get(id).valueAsNumber : null);

export function readSettings() {
  const settings = { system: get("system").value.trim(), temperature: number("temperature"), topP: number("top-p"), maxTokens: number("max-tokens"), seed: number("seed") };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null && value !== ""));
}

export function showSettings(settings) {
  get("system").value = settings.system ?? "";
  get("temperature").value = settings.temperature ?? 0.7;
  get("top-p").value = settings.topP ?? 1;
  get("max-tokens").value = settings.maxTokens ?? "";
  get("seed").value = settings.seed ?? "";
  showNumbers();
}

function showNumbers() {
  for (const id of ["temperature", "top-p"]) get(`${id}-value`).textContent = get(id).value;
}

/** Parameters of a request for `settings`, without the system prompt. */
export function parameters({ temperature, topP, maxTokens, seed }) {
  return { temperature, top_p: topP, max_tokens: maxTokens, seed };
}

export function onSettingsChange(changed) {
  const form = get("sampling");
  form.addEventListener("input", showNumbers);
  form.addEventListener("change", () => changed(readSettings()));
}
