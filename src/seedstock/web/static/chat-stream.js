// The wire side of chat: one streamed OpenAI-shaped request, and the split of reasoning from answer.
import { failure } from "./chat-api.js";

/** Yields the decoded `data:` objects of a server-sent event stream. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    buffer += value ?? "";
    const pieces = buffer.split(/\r?\n\r?\n/);
    buffer = done ? "" : pieces.pop();
    for (const piece of pieces) {
      const data = piece.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
    if (done) return;
  }
}

/** Streams an answer; `onDelta({reasoning, content})` for every piece. Returns the usage the server reports, or null. */
export async function streamReply({ endpoint, token, request, signal, onDelta }) {
  let response;
  try {
    response = await fetch(endpoint, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
      body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The hub cannot be reached.");
  }
  if (!response.ok) throw await failure(response);
  let usage = null;
  for await (const event of events(response.body)) {
    if (event.error) throw new Error(event.error.message ?? String(event.error));
    usage = event.usage ?? usage;
    const delta = event.choices?.[0]?.delta;
    if (delta) onDelta({ reasoning: delta.reasoning_content ?? "", content: delta.content ?? "" });
  }
  return usage;
}

/** Splits `<think>…</think>` at the start of a reply from the answer; an unclosed one is all reasoning. */
export function splitThinking(text) {
  const open = /^\s*<think>/.exec(text);
  if (!open) return { reasoning: "", answer: "<think>".startsWith(text.trim()) ? "" : text };
  const end = text.indexOf("</think>");
  if (end < 0) return { reasoning: text.slice(open[0].length), answer: "" };
  return { reasoning: text.slice(open[0].length, end), answer: text.slice(end + 8).trimStart() };
}
