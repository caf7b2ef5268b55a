// Messages of a chat with what can be done to them. `act` holds what the page does when it is asked to.
import { answerView, attached, branchArrows, copyButton, figuresText, iconButton, make } from "./chat-view.js";

function textButton(label, className, onClick) {
  const node = make("button", `button button-small ${className}`, label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

export function drawQuestion(tree, message, act) {
  const node = make("div", "message message-user", ...(message.attachments ?? []).map(attached));
  if (message.content) node.append(make("div", "message-text", message.content));
  const tools = make("div", "message-tools-user");
  const arrows = branchArrows(tree, message, act.show);
  if (arrows) tools.append(arrows);
  tools.append(copyButton(() => message.content, "Copy the message"), iconButton("edit", "Edit and send again", () => act.edit(message)));
  return [node, tools];
}

/** A question being changed: Enter sends it beside the old one, Escape leaves it as it was. */
export function drawEditor(message, act) {
  const field = make("textarea", "");
  field.value = message.content;
  field.rows = Math.min(12, message.content.split("\n").length + 1);
  field.setAttribute("aria-label", "Edited message");
  const send = () => {
    if (field.value.trim() || message.attachments?.length) act.sendEdited(message, field.value);
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      act.edit(null);
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  });
  const actions = make("div", "form-actions", textButton("Send", "button-primary", send), textButton("Cancel", "", () => act.edit(null)));
  return make("div", "message message-user is-edited", ...(message.attachments ?? []).map(attached), field, actions);
}

export function drawAnswer(tree, message, act) {
  const view = answerView();
  view.update({ reasoning: message.reasoning ?? "", answer: message.content });
  view.finish();
  const tools = make("div", "message-tools");
  const arrows = branchArrows(tree, message, act.show);
  if (arrows) tools.append(arrows);
  tools.append(copyButton(() => message.content, "Copy the answer"), iconButton("refresh", "Write another answer", () => act.answer(message.parent)));
  tools.append(make("span", "tnum", [message.model, figuresText(message.figures)].filter(Boolean).join(" · ")));
  view.node.append(tools);
  return view.node;
}

export function drawFailure({ question, message }, act) {
  const node = make("div", "message message-failed", make("p", "message-error", message), textButton("Try again", "", () => act.answer(question)));
  node.setAttribute("role", "alert");
  return node;
}
