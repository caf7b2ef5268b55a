// One answer of a model as it is written: its text, its reasoning, and how fast it came.
import { csrfToken } from "./app.js";
import { splitThinking, streamReply } from "./chat-stream.js";
import { figuresText } from "./chat-view.js";

const ENDPOINT = "/v1/chat/completions";

/** Streams one answer into `view` and tells `say` how it goes. One that was stopped is an answer, as far as it came. */
export async function write(request, signal, view, say) {
  let [content, thought, pieces, firstAt, lastAt, stopped, error] = ["", "", 0, 0, 0, false, ""];
  const startedAt = performance.now();
  const parts = () => {
    const split = splitThinking(content);
    return { reasoning: thought + split.reasoning, answer: split.answer };
  };
  const onDelta = (delta) => {
    if (!delta.content && !delta.reasoning) return;
    lastAt = performance.now();
    firstAt ||= lastAt;
    pieces += 1;
    content += delta.content;
    thought += delta.reasoning;
    view.update(parts());
    if (pieces % 5 === 0) say(figuresText({ tokens: pieces, seconds: (lastAt - firstAt) / 1000 }));
  };
  let usage = null;
  say("Waiting for the model…");
  try {
    usage = await streamReply({ endpoint: ENDPOINT, token: csrfToken(), request, signal, onDelta });
  } catch (caught) {
    stopped = caught.name === "AbortError";
    error = stopped ? "" : caught.message;
  }
  const { reasoning, answer: text } = parts();
  const figures = { tokens: usage?.completion_tokens ?? pieces, firstMs: firstAt ? Math.round(firstAt - startedAt) : undefined, seconds: (lastAt - firstAt) / 1000, stopped };
  return { content: text, reasoning, figures, error };
}
