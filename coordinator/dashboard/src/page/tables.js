// Tables, and going through their pages.

import { DASH, decimal, duration, element, estimate, number, percent, shape, state, time } from "./text.js";

/** Fills a table. A column: its title, what is in it, whether that is a number. */
export function table(node, columns, rows, empty, rowAttributes = () => ({})) {
  const cell = ({ content, number, best }, row) => {
    const kinds = [number && "number", best?.(row) && "best"].filter(Boolean).join(" ");
    return element("td", { class: kinds || null }, content(row));
  };
  const head = element("tr", {}, ...columns.map(({ title, number }) => element("th", { scope: "col", class: number && "number" }, title)));
  const body = rows.map((row) => element("tr", rowAttributes(row), ...columns.map((column) => cell(column, row))));
  if (rows.length === 0) body.push(element("tr", {}, element("td", { class: "empty", colspan: columns.length }, empty)));
  node.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

/** Buttons that lead through a long list; nothing where all of it is there. */
export function pages(node, list, go) {
  const { total, limit, offset } = list;
  if (total <= limit && offset === 0) return node.replaceChildren();
  const button = (text, to, possible) => {
    const button = element("button", { type: "button", disabled: !possible }, text);
    button.addEventListener("click", () => go(to));
    return button;
  };
  const last = Math.min(offset + limit, total);
  node.replaceChildren(
    button("Back", Math.max(0, offset - limit), offset > 0),
    element("span", {}, total > offset ? `${offset + 1} to ${last} of ${total}` : `${total} in all`),
    button("Next", offset + limit, last < total),
  );
}

const clip = (text) => element("span", { class: "clip", title: text }, text);

function seeds(cell) {
  if (cell.succeeded === cell.planned) return String(cell.succeeded);
  const failed = cell.quarantined > 0 ? ` (${cell.quarantined} failed)` : "";
  return `${cell.succeeded}/${cell.planned}${failed}`;
}

/** Where the mean lies, and its interval, on a scale that all rows share. */
function intervals(cells) {
  const of = ({ test_accuracy: of }) => (of ? [of.mean - (of.confidence_95 ?? 0), of.mean + (of.confidence_95 ?? 0)] : []);
  const ends = cells.flatMap(of);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = (share) => (high > low ? 6 + (158 * (share - low)) / (high - low) : 85);
  const scale = element("span", { class: "scale" }, element("span", {}, percent(low, 1)), element("span", {}, percent(high, 1)));
  const draw = (cell) => {
    const mean = cell.test_accuracy;
    if (!mean) return "";
    const [from, to] = of(cell);
    const at = (share, extra) => ({ x1: x(share), x2: x(share), ...extra });
    return shape("svg", { class: "interval", viewBox: "0 0 170 16", role: "img", "aria-label": estimate(mean) },
      shape("line", { class: "frame", x1: 0, x2: 170, y1: 8, y2: 8 }),
      from < to ? shape("line", { x1: x(from), x2: x(to), y1: 8, y2: 8 }) : null,
      from < to ? shape("line", at(from, { y1: 4, y2: 12 })) : null,
      from < to ? shape("line", at(to, { y1: 4, y2: 12 })) : null,
      shape("circle", { cx: x(mean.mean), cy: 8, r: 4 }));
  };
  return { title: ends.length > 0 ? scale : "", content: draw };
}

/** The columns of cells: an axis along which nothing varies is left out, as on the terminal. */
export function cellColumns(cells) {
  const varies = (key) => new Set(cells.filter((cell) => cell.lambda > 0 || !["density", "penalty_samples"].includes(key)).map((cell) => cell[key])).size > 1;
  const axis = (title, key) => (varies(key) ? [{ title, number: typeof cells[0][key] === "number", content: (cell) => (typeof cell[key] === "number" ? number(cell[key]) : cell[key]) }] : []);
  const highest = new Map();
  for (const { subset_size, test_accuracy: of } of cells) {
    if (of) highest.set(subset_size, Math.max(of.mean, highest.get(subset_size) ?? 0));
  }
  const best = ({ subset_size, test_accuracy: of }) => of && cells.length > 1 && of.mean === highest.get(subset_size);
  const gains = cells.some((cell) => cell.gain_over_none);
  return [
    { title: "architecture", content: (cell) => cell.architecture },
    { title: "subset", number: true, content: (cell) => cell.subset_size },
    { title: "lambda", number: true, content: (cell) => number(cell.lambda) },
    ...axis("weight decay", "weight_decay"),
    ...axis("learning rate", "learning_rate"),
    ...axis("density", "density"),
    ...axis("samples", "penalty_samples"),
    { title: "accuracy %", number: true, best, content: (cell) => (best(cell) ? "★ " : "") + estimate(cell.test_accuracy) },
    intervals(cells),
    { title: "seeds", number: true, content: seeds },
    ...(gains ? [{ title: "over lambda 0", number: true, content: (cell) => estimate(cell.gain_over_none, true) }] : []),
    { title: "sd", number: true, content: (cell) => percent(cell.test_accuracy?.standard_deviation) },
    { title: "best %", number: true, content: (cell) => percent(cell.best_test_accuracy?.mean) },
    { title: "s/trial", number: true, content: (cell) => (typeof cell.classifier_seconds === "number" ? decimal(cell.classifier_seconds, 1) : DASH) },
  ];
}

/** How ids of workers differ stands at their end. */
function worker(id) {
  return element("span", { title: id }, id.length > 24 ? `…${id.slice(-22)}` : id);
}

/** The state of a trial, and of a running one how far it is. */
function progress(trial) {
  if (trial.state !== "leased") return state(trial.state);
  const share = Math.round((100 * trial.step) / Math.max(1, trial.steps));
  const done = element("span");
  done.style.width = `${share}%`;
  return element("span", {}, state("leased"), element("span", { class: "meter", "aria-hidden": "true" }, done), `${share} %`);
}

export function trialColumns(choose) {
  return [
    { title: "trial", content: (trial) => choose(trial) },
    { title: "state", content: progress },
    { title: "accuracy %", number: true, content: (trial) => percent(trial.outcome?.final_test_accuracy) },
    { title: "architecture", content: (trial) => trial.architecture },
    { title: "subset", number: true, content: (trial) => trial.subset_size },
    { title: "lambda", number: true, content: (trial) => number(trial.lambda) },
    { title: "seed", number: true, content: (trial) => trial.seed },
    { title: "seconds", number: true, content: (trial) => (trial.outcome ? decimal(trial.outcome.vae_seconds + trial.outcome.classifier_seconds, 1) : DASH) },
    { title: "attempts", number: true, content: (trial) => trial.attempts },
    { title: "worker", content: (trial) => (trial.worker ? worker(trial.worker) : DASH) },
  ];
}

export const WORKER_COLUMNS = [
  { title: "worker", content: ({ id }) => worker(id) },
  { title: "state", content: (worker) => element("span", { class: worker.connected ? "succeeded" : "pending" }, element("span", { class: "sign", "aria-hidden": "true" }, worker.connected ? "●" : "○"), worker.connected ? "connected" : "gone") },
  { title: "running", number: true, content: (worker) => worker.running },
  { title: "done", number: true, content: (worker) => worker.succeeded },
  { title: "per trial", number: true, content: (worker) => (worker.succeeded > 0 ? duration(worker.seconds / worker.succeeded) : DASH) },
  { title: "host", content: (worker) => clip(worker.host) },
  { title: "device", content: (worker) => clip(worker.device) },
  { title: "model", content: (worker) => clip(worker.model) },
  { title: "joined", content: (worker) => time(worker.joined) },
];
