// The graph of a replication that waits or runs, kept up to date on the model's own page.
import { listen } from "./job-events.js";
import { Stages } from "./stage-graph.js";

const root = document.querySelector("[data-stages][data-job]");
if (root !== null) {
  const { job, newest } = root.dataset;
  const stages = new Stages(root, job);
  const stop = listen(job, Number(newest), {
    stage: (entry) => stages.hear(entry),
    metrics: (entry) => stages.measure(entry.data),
    end: () => { stop(); location.reload(); },
  });
}
