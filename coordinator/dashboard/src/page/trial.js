// The chosen trial: its curves, settings and events.

import { get } from "./ask.js";
import { chart } from "./chart.js";
import { commandButton } from "./command.js";
import { worker } from "./tables.js";
import { DASH, byId, count, duration, element, percent, state, time } from "./text.js";
import { trialLabel } from "./trials.js";

/** The order of the charts; the first one is large. */
const METRICS = ["test/accuracy", "test/loss", "validation/accuracy", "validation/loss", "train/loss", "train/function_norm", "vae/loss"];

let shown = "";

/** Shows a trial, with a button if people may send commands. Requests only changed parts. */
export async function showTrial(id, commands) {
  const trial = await get(`api/v1/trials/${id}`);
  const metrics = METRICS.filter((metric) => !metric.startsWith("validation/") || trial.settings.validation);
  const points = await Promise.all(metrics.map((metric) => get(`api/v1/trials/${id}/points?metric=${encodeURIComponent(metric)}`)));
  const curves = metrics.map((metric, index) => [metric, points[index]]).filter(([, list]) => list.items.length > 0);
  const now = JSON.stringify([trial, curves]);
  if (now === shown) return;
  shown = now;
  byId("trial").hidden = false;
  byId("trial-title").textContent = `Trial ${trial.id.slice(0, 8)}: ${trialLabel(trial)}`;
  const end = (metric, list) => (metric === "vae/loss" ? trial.settings.penalty?.vae?.vae.iterations : trial.settings.classifier.iterations) ?? list.items.at(-1).step;
  const figures = curves.map(([metric, list], index) => chart(metric, list.items, end(metric, list), index === 0 ? "large" : "small"));
  byId("charts").replaceChildren(...(figures.length > 0 ? figures : [element("p", { class: "quiet" }, "no curve yet")]));
  byId("trial-facts").replaceChildren(...facts(trial, commands));
}

/** The names of files for people. */
const FILES = { "vae.png": "VAE samples", "confusion.csv": "confusion matrix", "weights.safetensors": "weights" };

function facts(trial, commands) {
  const lines = [
    ["state", state(trial.state)],
    ["accuracy", trial.outcome ? `${percent(trial.outcome.final_test_accuracy)} % at the end, ${percent(trial.outcome.best_test_accuracy)} % at best` : null],
    ["progress", trial.state === "leased" ? `step ${trial.step} of ${trial.steps}` : null],
    ["classifier", trial.outcome ? duration(trial.outcome.classifier_seconds) : null],
    ["VAE", trial.outcome?.vae_seconds > 0 ? duration(trial.outcome.vae_seconds) : null],
    ...trial.named,
    ["attempts", trial.attempts],
    ["worker", trial.worker ? worker(trial.worker) : null],
    ["id", trial.id],
  ].filter(([, content]) => content !== null);
  const parts = [element("dl", {}, ...lines.flatMap(([name, content]) => [element("dt", {}, name), element("dd", {}, content)]))];
  if (commands && trial.state === "quarantined") parts.push(commandButton("Retry", { retry: { trials: [trial.id] } }));
  const links = [
    ...trial.logs.map((attempt) => [`logs/${attempt}`, trial.logs.length > 1 ? `log of attempt ${attempt}` : "log"]),
    ...trial.files.map((name) => [`files/${name}`, FILES[name] ?? name]),
  ].map(([path, text]) => element("li", {}, element("a", { href: `api/v1/trials/${trial.id}/${path}`, target: "_blank", rel: "noopener" }, text)));
  if (links.length > 0) parts.push(element("h3", {}, "Files"), element("ul", { class: "links" }, ...links));
  if (trial.files.includes("vae.png")) parts.push(element("img", { class: "sheet", src: `api/v1/trials/${trial.id}/files/vae.png`, alt: "images of the subset, their reconstructions by the VAE, and samples of the VAE", loading: "lazy" }));
  if (trial.error) parts.push(element("h3", {}, "Last error"), element("p", { class: "error" }, trial.error));
  if (trial.log) parts.push(element("h3", {}, "End of the log"), element("pre", {}, trial.log));
  if (trial.events.length > 0) parts.push(element("h3", {}, "Events"), element("ol", {}, ...trial.events.map(event)));
  const settings = element("pre", {}, JSON.stringify(trial.settings, null, 2));
  parts.push(element("details", {}, element("summary", { class: "quiet" }, "All settings"), settings));
  return parts;
}

/** The words of events for people. */
const KINDS = { leased: "started", succeeded: "done", lost: "lost with its process", released: "returned", retried: "retried" };

function event({ at, attempt, kind, worker: by, error }) {
  const who = by ? ["by ", worker(by)] : [];
  return element("li", {}, `${time(at)}: attempt ${attempt} ${KINDS[kind] ?? kind} `, ...who, error ? element("span", { class: "error" }, ` ${error}`) : null);
}

/** A failed trial in a list. Opening it shows its log, or the whole error. */
export function failure(trial) {
  const cell = `${trial.id.slice(0, 8)}: ${trialLabel(trial)}, after ${count(trial.attempts, "attempt")}: `;
  const summary = element("summary", {}, state(trial.state), ` ${cell}`, element("span", { class: "error" }, trial.error ?? DASH));
  const details = element("details", { "data-trial": trial.id }, summary);
  details.addEventListener("toggle", async () => {
    if (!details.open || details.childElementCount > 1) return;
    const whole = await get(`api/v1/trials/${trial.id}`).catch(() => null);
    if (whole) details.append(element("pre", {}, whole.log ?? `${whole.error ?? ""}\n(there is no log)`));
  });
  return details;
}
