// Compared models: one prompt, answers side by side, a vote, then the names.
import { announce, csrfToken } from "./app.js";
import { api, listModels } from "./chat-api.js";
import { onSettingsChange, readSettings } from "./chat-sampling.js";
import { splitThinking, streamReply } from "./chat-stream.js";
import { chosenModels, offer } from "./compare-pick.js";
import { answerView, copyButton, figuresText, make } from "./chat-view.js";

const get = (id) => document.getElementById(id);
const [form, columns, foot, vote, follow] = ["compare-form", "columns", "battle-status", "vote", "follow"].map(get);
const opened = get("compare").dataset;

let battle = null;
let running = null; // AbortController of all answers being written

function fail(error) {
  get("compare-error").hidden = !error;
  get("compare-error").textContent = error ? error.message : "";
}

// Answers

function nameOf(contestant) {
  return contestant.model ?? `Model ${contestant.label}`;
}

function drawColumns() {
  columns.replaceChildren(...battle.contestants.map((contestant, position) => {
    const heading = make("h2", "");
    if (contestant.closed) {
      heading.append(battle.blind ? `${contestant.label}: ` : "", contestant.model, " ", make("span", "badge badge-quiet", "closed"));
    } else if (contestant.model) {
      const link = make("a", "", contestant.model);
      link.href = `/${contestant.model.split(":")[0]}`;
      heading.append(battle.blind ? `${contestant.label}: ` : "", link);
    } else {
      heading.append(nameOf(contestant));
    }
    const head = make("header", "panel-head", heading);
    if (contestant.revision) head.append(make("code", "muted", contestant.revision.slice(0, 8)));
    const log = make("div", "battle-log");
    const column = make("section", "panel battle-column", head, log);
    column.setAttribute("aria-label", nameOf(contestant));
    column.classList.toggle("is-best", battle.best === String(position));
    battle.prompts.forEach((text, turn) => {
      log.append(make("div", "message message-user", make("div", "message-text", text)));
      const given = contestant.answers[turn];
      if (given) log.append(drawAnswer(given));
    });
    return column;
  }));
}

function drawAnswer(given) {
  const view = answerView();
  const split = splitThinking(given.content);
  view.update({ reasoning: (given.reasoning ?? "") + split.reasoning, answer: split.answer });
  view.finish();
  view.node.append(make("div", "message-tools", copyButton(() => split.answer, "Copy the answer"), make("span", "tnum", figuresText(given))));
  return view.node;
}

async function answer(position, signal) {
  const log = columns.children[position].querySelector(".battle-log");
  log.querySelector(".message-failed")?.remove();
  const view = answerView();
  view.stream();
  log.append(view.node);
  let [content, thought] = ["", ""];
  const onDelta = (delta) => {
    content += delta.content;
    thought += delta.reasoning;
    const split = splitThinking(content);
    view.update({ reasoning: thought + split.reasoning, answer: split.answer });
  };
  try {
    await streamReply({ endpoint: `/api/arena/battles/${battle.id}/answers/${position}`, token: csrfToken(), request: {}, signal, onDelta });
    view.finish();
  } catch (error) {
    view.finish();
    if (!content && !thought) view.node.remove();
    if (error.name !== "AbortError" || (!content && !thought)) log.append(failure(position, error));
  }
}

function failure(position, error) {
  const retry = make("button", "button button-small", "Try again");
  retry.type = "button";
  retry.addEventListener("click", () => run([position]));
  const text = error.name === "AbortError" ? "Stopped before it began." : error.message;
  return make("div", "message message-failed", make("p", "message-error", text), retry);
}

/** Has the models at those places answer, all at once, then reads back what the hub kept. */
async function run(positions) {
  if (running) return;
  running = new AbortController();
  drawFoot();
  await Promise.all(positions.map((position) => answer(position, running.signal)));
  running = null;
  try {
    // The hub keeps a stopped answer a moment after its stream has ended here.
    for (let tries = 0; tries < 5; tries += 1) {
      battle = await api("GET", `/api/arena/battles/${battle.id}`);
      if (!missing().some((position) => !columns.children[position].querySelector(".message-failed"))) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const failures = missing().map((position) => [position, columns.children[position].querySelector(".message-failed")]);
    drawColumns();
    failures.forEach(([position, node]) => columns.children[position].querySelector(".battle-log").append(node ?? failure(position, new Error("No answer yet."))));
  } catch (error) {
    fail(error);
  }
  drawFoot();
}

function missing() {
  return battle.contestants.flatMap((contestant, position) => (contestant.answers.length < battle.prompts.length ? [position] : []));
}

// The vote

function drawFoot() {
  const waiting = missing();
  const open = !running && !battle.best && !waiting.length;
  vote.hidden = follow.hidden = !open;
  get("stop").hidden = !running;
  if (running) foot.textContent = "The models answer…";
  else if (battle.best) foot.textContent = verdict();
  else if (waiting.length) foot.textContent = "Not every model has answered. You can vote when all have.";
  else foot.textContent = battle.blind ? "Which answer is best? The names follow your vote." : "Which answer is best?";
  if (!open) return;
  const button = (label, best) => {
    const node = make("button", "button", label);
    node.type = "button";
    node.addEventListener("click", () => cast(best));
    return node;
  };
  const choices = battle.contestants.map((contestant, position) => button(`${nameOf(contestant)} is best`, String(position)));
  vote.replaceChildren(...choices, button("A tie", "tie"), button("All are bad", "bad"));
}

function verdict() {
  if (battle.best === "tie") return "You called it a tie.";
  if (battle.best === "bad") return "You found all answers bad.";
  return `You preferred ${battle.contestants[Number(battle.best)].label}: ${nameOf(battle.contestants[Number(battle.best)])}.`;
}

async function cast(best) {
  try {
    battle = await api("POST", `/api/arena/battles/${battle.id}/vote`, { best });
    fail(null);
  } catch (error) {
    fail(error);
    return;
  }
  drawColumns();
  drawFoot();
  announce(verdict());
}

function showBattle() {
  get("battle").hidden = false;
  form.hidden = true;
  get("again").href = `/compare?${new URLSearchParams(battle.contestants.flatMap(({ model }) => (model ? [["model", model]] : [])))}`;
  drawColumns();
  drawFoot();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  get("begin").disabled = true;
  try {
    battle = await api("POST", "/api/arena/battles", { models: chosenModels(), prompt: get("prompt").value, blind: get("blind").checked, settings: readSettings() });
    fail(null);
    history.replaceState(null, "", `/compare?battle=${battle.id}`);
    showBattle();
    run(battle.contestants.map((_, position) => position));
  } catch (error) {
    fail(error);
  }
  get("begin").disabled = false;
});
follow.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = get("follow-prompt").value;
  if (!text.trim() || running) return;
  try {
    battle = await api("POST", `/api/arena/battles/${battle.id}/prompts`, { prompt: text });
    fail(null);
    get("follow-prompt").value = "";
    drawColumns();
    run(battle.contestants.map((_, position) => position));
  } catch (error) {
    fail(error);
  }
});
get("follow-prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  follow.requestSubmit();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
get("stop").addEventListener("click", () => running?.abort());
onSettingsChange(() => {});

async function open() {
  if (opened.battle) {
    battle = await api("GET", `/api/arena/battles/${opened.battle}`);
    showBattle();
    missing().forEach((position) => columns.children[position].querySelector(".battle-log").append(failure(position, new Error("No answer yet."))));
    return;
  }
  offer(await listModels(), opened.models ? opened.models.split(" ") : []);
}

open().catch(fail);
