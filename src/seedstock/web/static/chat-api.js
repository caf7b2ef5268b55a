// Requests to the hub's own API, and failures in words.
import { csrfToken } from "./app.js";

/** Seconds as people say them. */
function waiting(seconds) {
  if (!(seconds > 0)) return "";
  return seconds < 90 ? ` Try again in ${Math.ceil(seconds)} s.` : ` Try again in ${Math.ceil(seconds / 60)} minutes.`;
}

/** What went wrong, from an answer that is no success. */
export async function failure(response) {
  const text = await response.text();
  let message = text.slice(0, 300);
  try {
    const { error } = JSON.parse(text);
    message = error?.message ?? error ?? message;
  } catch {
    // A proxy's own page; its first words are all there is.
  }
  message ||= `The server answered ${response.status}.`;
  const after = Number(response.headers.get("retry-after"));
  if (response.status === 429 || response.status === 503) message = `${message.replace(/[.!?]?$/, ".")}${waiting(after)}`;
  const error = new Error(message);
  error.status = response.status;
  return error;
}

/** Sends JSON and reads JSON. Throws an Error in words, with `status` if the hub answered. */
export async function api(method, path, body, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: { "X-CSRF-Token": csrfToken(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The hub cannot be reached.");
  }
  if (!response.ok) throw await failure(response);
  return response.json();
}

/** All models that the viewer may talk to: [{id, owner, closed}]. Encoders are left out; of a remote model nothing is known. */
export async function listModels() {
  const { data } = await api("GET", "/v1/models");
  const talking = data.filter((model) => !model.abilities || model.abilities.includes("generation"));
  return talking.map((model) => ({ id: model.id, owner: model.owned_by ?? "", closed: model.closed === true || model.openness === "closed" }));
}

/** Fills a select with models; keeps or adds `chosen`. */
export function fillModels(select, models, chosen) {
  const option = ({ id, closed }) => {
    const node = document.createElement("option");
    node.value = id;
    node.textContent = closed ? `${id} (closed)` : id;
    return node;
  };
  const listed = chosen && !models.some((model) => model.id === chosen) ? [{ id: chosen, closed: false }, ...models] : models;
  select.replaceChildren(...listed.map(option));
  if (!listed.length) {
    const none = document.createElement("option");
    none.value = "";
    none.textContent = "No model of this hub can be run yet";
    select.append(none);
  }
  if (chosen) select.value = chosen;
}
