// The dashboard: asks every few seconds, and draws what has changed.

import { WORKER_COLUMNS, cellColumns, pages, table, trialColumns } from "./tables.js";
import { DASH, STATES, byId, decimal, duration, element, percent, rough } from "./text.js";
import { failure, showTrial } from "./trial.js";

const PERIOD = 2_000;
/** When nothing moves any more, or nobody answers. */
const SLOW = 10_000;

const offsets = { cells: 0, failures: 0, trials: 0, workers: 0 };
const limits = { cells: 100, failures: 10, trials: 15, workers: 15 };
const filters = { state: "", architecture: "", subset_size: "" };
/** What was drawn last, by what it is. */
const drawn = new Map();
let chosen = location.hash.match(/^#trial=([0-9a-f]{32})$/)?.[1] ?? null;
let heard = null;
let timer = null;

async function get(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw Object.assign(new Error(problem?.error?.message ?? `status ${response.status}`), { status: response.status });
  }
  return response.json();
}

function changed(what, ...content) {
  const text = JSON.stringify(content);
  if (drawn.get(what) === text) return false;
  drawn.set(what, text);
  return true;
}

function list(what) {
  const query = new URLSearchParams({ limit: limits[what], offset: offsets[what] });
  if (what === "trials") Object.entries(filters).forEach(([name, value]) => value && query.set(name, value));
  if (what === "failures") query.set("state", "quarantined");
  return get(`api/v1/${what === "failures" ? "trials" : what}?${query}`);
}

function turn(what) {
  return (offset) => {
    offsets[what] = offset;
    refresh();
  };
}

function showSweep(sweep) {
  const { trials } = sweep;
  byId("sweep").textContent = sweep.sweep;
  byId("about").textContent = `${sweep.dataset}, ${trials.total} trials, in ${sweep.run_dir}`;
  byId("version").textContent = `swfn ${sweep.version}`;
  // Not 100 % before all is done.
  const done = Math.min(99, 100 * sweep.share_done);
  const share = sweep.finished ? 100 : done < 10 ? decimal(done, 1) : Math.floor(done);
  document.title = `${share} % ${sweep.sweep}`;
  byId("percent").textContent = `${share} %`;
  const failed = trials.quarantined > 0 ? `finished, ${trials.quarantined} failed` : "finished";
  const left = sweep.remaining_seconds === null ? "" : `about ${rough(sweep.remaining_seconds)} left`;
  const idle = sweep.connected_workers === 0 ? "waiting for workers" : left;
  byId("eta").textContent = sweep.finished ? failed : idle;
  const order = ["succeeded", "leased", "quarantined", "pending"];
  byId("bar").replaceChildren(...order.filter((name) => trials[name] > 0).map((name) => {
    const part = element("span", { class: name });
    part.style.flexGrow = trials[name];
    return part;
  }));
  byId("bar").setAttribute("aria-label", order.map((name) => `${trials[name]} ${STATES[name].name}`).join(", "));
  byId("states").replaceChildren(...order.map((name) => element("li", { class: name }, element("span", { class: "sign", "aria-hidden": "true" }, STATES[name].sign), element("b", {}, trials[name]), ` ${STATES[name].name}`)));
  const pace = sweep.succeeded_since_start > 0 ? `${Math.round((3600 * sweep.succeeded_since_start) / sweep.elapsed_seconds)} trials an hour` : DASH;
  const seeds = sweep.best?.seeds === 1 ? "1 seed" : `${sweep.best?.seeds} seeds`;
  const facts = [
    ["workers", `${sweep.connected_workers} connected`],
    // How long it has been idle since then tells nothing.
    ...(sweep.finished ? [] : [["running for", duration(sweep.elapsed_seconds)], ["pace", pace]]),
    [sweep.finished ? "best cell" : "best cell so far", sweep.best ? `${percent(sweep.best.test_accuracy_mean)} % ${sweep.best.cell} (${seeds})` : DASH, "wide"],
  ];
  byId("facts").replaceChildren(...facts.map(([name, text, kind]) => element("div", { class: kind }, element("dt", {}, name), element("dd", {}, text))));
  fillFilters(sweep);
}

function fillFilters(sweep) {
  if (!changed("filters", sweep.architectures, sweep.subset_sizes)) return;
  const choices = {
    state: Object.entries(STATES).map(([value, { name }]) => [value, name]),
    architecture: sweep.architectures.map((name) => [name, name]),
    subset_size: sweep.subset_sizes.map((size) => [size, size]),
  };
  for (const [name, values] of Object.entries(choices)) {
    const select = byId(name === "subset_size" ? "filter-subset" : `filter-${name}`);
    select.replaceChildren(element("option", { value: "" }, "all"), ...values.map(([value, text]) => element("option", { value }, text)));
    select.value = filters[name];
    select.onchange = () => {
      filters[name] = select.value;
      offsets.trials = 0;
      refresh();
    };
  }
}

function showCells(cells) {
  if (!changed("cells", cells)) return;
  table(byId("cells"), cells.items.length > 0 ? cellColumns(cells.items) : [{ title: "cell" }], cells.items, "no cells yet");
  pages(byId("cells-pages"), cells, turn("cells"));
  byId("cells-note").textContent = `${cells.legend} ★ highest mean at its subset size so far.`;
}

function showFailures(failures) {
  byId("failures-section").hidden = failures.total === 0;
  if (!changed("failures", failures)) return;
  const open = new Map([...byId("failures").children].filter((node) => node.open).map((node) => [node.dataset.trial, node]));
  byId("failures").replaceChildren(...failures.items.map((trial) => open.get(trial.id) ?? failure(trial, get)));
  pages(byId("failures-pages"), failures, turn("failures"));
}

function showTrials(trials) {
  // Something to see for who has not chosen yet.
  chosen ??= trials.items.find((trial) => ["succeeded", "leased"].includes(trial.state))?.id ?? null;
  if (!changed("trials", trials, chosen)) return;
  const button = (trial) => element("button", { type: "button", "aria-label": `show trial ${trial.id}` }, trial.id.slice(0, 8));
  const attributes = (trial) => ({ "data-trial": trial.id, class: trial.id === chosen && "chosen", "aria-current": trial.id === chosen && "true" });
  const focused = document.activeElement?.closest("#trials tr")?.dataset.trial;
  table(byId("trials"), trialColumns(button), trials.items, "no trial is like this", attributes);
  if (focused) byId("trials").querySelector(`tr[data-trial="${focused}"] button`)?.focus();
  pages(byId("trials-pages"), trials, turn("trials"));
}

function showWorkers(workers) {
  if (!changed("workers", workers)) return;
  table(byId("workers"), WORKER_COLUMNS, workers.items, "no worker has joined yet");
  pages(byId("workers-pages"), workers, turn("workers"));
}

function connection(kind, text) {
  const node = byId("connection");
  node.className = kind;
  if (node.textContent !== text) node.textContent = text;
}

/** A trial that is not of this grid, as in an old link. */
function forget(error) {
  if (error.status !== 404) throw error;
  chosen = null;
  byId("trial").hidden = true;
}

async function refresh() {
  clearTimeout(timer);
  let next = SLOW;
  try {
    const sweep = await get("api/v1/sweep");
    showSweep(sweep);
    showCells(await list("cells"));
    showFailures(sweep.trials.quarantined > 0 ? await list("failures") : { total: 0, limit: 1, offset: 0, items: [] });
    showTrials(await list("trials"));
    showWorkers(await list("workers"));
    if (chosen) await showTrial(chosen, get).catch(forget);
    heard = Date.now();
    connection("live", sweep.finished ? "finished" : "live");
    if (!sweep.finished) next = PERIOD;
  } catch (error) {
    const since = heard ? `, as of ${new Date(heard).toLocaleTimeString()}` : "";
    // Of a coordinator that has ended the browser knows nothing better.
    connection("lost", error instanceof TypeError ? `the coordinator does not answer${since}` : `${error.message}${since}`);
    if (heard && Date.now() - heard < 6 * PERIOD) next = PERIOD;
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, next);
}

byId("no-scripts").remove();
byId("trials").addEventListener("click", (event) => {
  const id = event.target.closest("tr[data-trial]")?.dataset.trial;
  if (!id) return;
  chosen = id;
  history.replaceState(null, "", `#trial=${id}`);
  refresh().then(() => byId("trial").scrollIntoView({ block: "nearest" }));
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
