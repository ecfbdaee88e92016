// The chosen trial: its curves, its settings, what happened to it.

import { chart } from "./chart.js";
import { DASH, byId, duration, element, number, percent, state, time } from "./text.js";

/** In the order in which they are drawn, the first one large. */
const METRICS = ["test/accuracy", "test/loss", "validation/accuracy", "validation/loss", "train/loss", "train/function_norm", "vae/loss"];

let shown = "";

/** Shows a trial; looks up no more than has changed. */
export async function showTrial(id, get) {
  const trial = await get(`api/v1/trials/${id}`);
  const curves = [];
  for (const metric of METRICS) {
    if (metric.startsWith("validation/") && !trial.settings.validation) continue;
    const list = await get(`api/v1/trials/${id}/points?metric=${encodeURIComponent(metric)}`);
    if (list.items.length > 0) curves.push([metric, list]);
  }
  const now = JSON.stringify([trial, curves]);
  if (now === shown) return;
  shown = now;
  byId("trial").hidden = false;
  byId("trial-title").textContent = `Trial ${trial.id.slice(0, 8)}: ${trial.architecture}, ${trial.subset_size} images, lambda ${number(trial.lambda)}, seed ${trial.seed}`;
  const end = (metric, list) => (metric === "vae/loss" ? trial.settings.penalty?.vae?.vae.iterations : trial.settings.classifier.iterations) ?? list.items.at(-1).step;
  const figures = curves.map(([metric, list], index) => chart(metric, list.items, end(metric, list), index === 0 ? "large" : "small"));
  byId("charts").replaceChildren(...(figures.length > 0 ? figures : [element("p", { class: "quiet" }, "no points of a curve yet")]));
  byId("trial-facts").replaceChildren(...facts(trial));
}

function facts(trial) {
  const lines = [
    ["state", state(trial.state)],
    ["accuracy", trial.outcome ? `${percent(trial.outcome.final_test_accuracy)} % at the end, ${percent(trial.outcome.best_test_accuracy)} % at best` : null],
    ["progress", trial.state === "leased" ? `step ${trial.step} of ${trial.steps}` : null],
    ["classifier", trial.outcome ? duration(trial.outcome.classifier_seconds) : null],
    ["VAE", trial.outcome?.vae_seconds > 0 ? duration(trial.outcome.vae_seconds) : null],
    ["weight decay", number(trial.weight_decay)],
    ["learning rate", number(trial.learning_rate)],
    ["density", trial.density === "none" ? null : trial.density],
    ["samples", trial.penalty_samples || null],
    ["attempts", trial.attempts],
    ["worker", trial.worker],
    ["id", trial.id],
  ].filter(([, content]) => content !== null);
  const parts = [element("dl", {}, ...lines.flatMap(([name, content]) => [element("dt", {}, name), element("dd", {}, content)]))];
  if (trial.error) parts.push(element("h3", {}, "Last error"), element("p", { class: "error" }, trial.error));
  if (trial.log) parts.push(element("h3", {}, "End of the log"), element("pre", {}, trial.log));
  if (trial.events.length > 0) parts.push(element("h3", {}, "What happened"), element("ol", {}, ...trial.events.map(event)));
  const settings = element("pre", {}, JSON.stringify(trial.settings, null, 2));
  parts.push(element("details", {}, element("summary", { class: "quiet" }, "All settings"), settings));
  return parts;
}

function event({ at, attempt, kind, worker, error }) {
  const who = worker ? ` to ${worker}` : "";
  return element("li", {}, `${time(at)}: attempt ${attempt} ${kind}${who}`, error ? element("span", { class: "error" }, ` ${error}`) : null);
}

/** A failed trial in a list, with its whole error and log once somebody opens it. */
export function failure(trial, get) {
  const attempts = trial.attempts === 1 ? "1 attempt" : `${trial.attempts} attempts`;
  const cell = `${trial.id.slice(0, 8)}: ${trial.architecture}, ${trial.subset_size} images, lambda ${number(trial.lambda)}, seed ${trial.seed}, after ${attempts}: `;
  const summary = element("summary", {}, state(trial.state), ` ${cell}`, element("span", { class: "error" }, trial.error ?? DASH));
  const details = element("details", { "data-trial": trial.id }, summary);
  details.addEventListener("toggle", async () => {
    if (!details.open || details.childElementCount > 1) return;
    const whole = await get(`api/v1/trials/${trial.id}`).catch(() => null);
    if (whole) details.append(element("pre", {}, whole.log ?? `${whole.error ?? ""}\n(there is no log)`));
  });
  return details;
}
