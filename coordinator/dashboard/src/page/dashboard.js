// The page: sends requests every few seconds, and draws the parts that have changed.

import { showAnswer } from "./answer.js";
import { get, parameters } from "./ask.js";
import { commandButton } from "./command.js";
import { showCurves } from "./curves.js";
import { rowsOf, showPivot } from "./pivot.js";
import { showProgress } from "./progress.js";
import { pages, table, workerColumns } from "./tables.js";
import { byId } from "./text.js";
import { failure, showTrial } from "./trial.js";
import { showFilters, showTrials, trialsPath } from "./trials.js";

const PERIOD = 2_000;
/** Once the sweep is finished, or the coordinator does not answer. */
const SLOW = 10_000;
/** The most curves that are drawn at a time. */
const MOST_CURVES = 12;
/** The most curves before anybody has chosen some. */
const FIRST_CURVES = 6;

const offsets = { failures: 0, workers: 0 };
const limits = { failures: 10, workers: 15 };
/** The evaluation of each trial that counts. */
const SELECTIONS = { final: "Test accuracy after the last iteration", best: "Test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES", validation: "Test accuracy at each trial's best evaluation on validation images" };

/** The content that was drawn last, by the part of the page. */
const drawn = new Map();
let sweep = null;
/** The sweep when all parts were drawn last. */
let shown = null;
let answer = null;
let trial = location.hash.match(/^#trial=([0-9a-f]{32})$/)?.[1] ?? null;
/** Ids of the cells whose curves are drawn; null before anybody has chosen some. */
let cells = null;
let heard = null;
let timer = null;

/** Draws a part unless its content is the same. Unchanged answers are the same objects. */
function draw(part, content, show) {
  const before = drawn.get(part);
  if (before && before.length === content.length && before.every((piece, index) => piece === content[index])) return;
  drawn.set(part, content);
  performance.mark("draw");
  show();
  performance.measure(`draw ${part}`, "draw");
}

function list(what, more = {}) {
  return get(`api/v1/${what === "failures" ? "trials" : what}?${parameters({ ...more, limit: limits[what], offset: offsets[what] })}`);
}

function turn(what) {
  return (offset) => {
    offsets[what] = offset;
    renew();
  };
}

/** After a choice of the user. */
const renew = () => refresh(true);

/** The colour of a regulariser, as in the report. */
const colour = (regulariser) => `var(${sweep.colours[regulariser] ?? "--succeeded"})`;

/** The curves that are drawn by default: the first column of the first network with results. */
function defaultCells(rows) {
  const columns = answer.pivot.sizes.map((_, column) => rows.filter(({ network, cells }) => network === rows[0].network && cells[column]?.seeds > 0).map(({ cells }) => cells[column].id));
  return (columns.find((ids) => ids.length > 0) ?? []).slice(0, FIRST_CURVES);
}

/** The lines of the chosen cells: colours by regulariser, dashes by all other differences. */
function chosenLines() {
  const rows = rowsOf(answer);
  const all = rows.flatMap((row) => row.cells.filter(Boolean).map((cell) => ({ ...cell, row })));
  const ids = cells ?? defaultCells(rows);
  const chosen = all.filter(({ id }) => ids.includes(id));
  const networks = new Set(chosen.map(({ row }) => row.network)).size > 1;
  const sizes = new Set(chosen.map(({ size }) => size)).size > 1;
  const styles = [...new Set(chosen.map(({ row, size }) => `${row.network} ${row.variant} ${size}`))];
  return chosen.map(({ id, size, row }) => ({
    id,
    name: [networks || sizes ? row.network : null, networks || sizes ? `n = ${size}` : null, row.regulariser, row.variant].filter(Boolean).join(", "),
    colour: colour(row.regulariser),
    dash: styles.indexOf(`${row.network} ${row.variant} ${size}`) % 4,
  }));
}

function toggle(ids, alone) {
  const before = cells ?? defaultCells(rowsOf(answer));
  if (alone) cells = ids.every((id) => before.includes(id)) && before.length === ids.length ? [] : ids;
  else cells = before.includes(ids[0]) ? before.filter((id) => id !== ids[0]) : [...before, ids[0]];
  cells = cells.slice(-MOST_CURVES);
  renew();
}

async function answers() {
  answer = await get("api/v1/answer");
  draw("answer", [answer, sweep.finished], () => showAnswer(answer, sweep.finished));
  const lines = chosenLines();
  const key = lines.map(({ id }) => id).join();
  draw("pivot", [answer, key], () => {
    showPivot(answer, new Set(lines.map(({ id }) => id)), colour, toggle);
    byId("pivot-note").textContent = `${SELECTIONS[answer.selection] ?? "Test accuracy"}, mean ± half of the 95 % interval over seeds, in percent.${answer.names}`;
    byId("pivot-control").textContent = answer.pivot.control ? `“${answer.pivot.control}”` : "its reference";
  });
  // Mean curves have done trials only: they change when the answer does.
  if (!drawn.has("curves") || drawn.get("curves")[0] !== answer || drawn.get("curves")[1] !== key) await curves(lines, key);
}

async function curves(lines, key) {
  const ids = lines.map(({ id }) => id).sort().join();
  const found = key ? (await get(`api/v1/curves?${parameters({ cells: ids })}`)).curves : {};
  draw("curves", [answer, key], () => {
    const first = lines[0] && rowsOf(answer).flatMap((row) => row.cells.map((cell) => ({ cell, row }))).find(({ cell }) => cell?.id === lines[0].id);
    const alone = first && lines.every(({ name }) => !name.includes("n = "));
    byId("curves-title").textContent = alone ? `Accuracy over iterations: ${first.row.network}, n = ${first.cell.size}` : "Accuracy over iterations";
    showCurves(lines.map((line) => ({ ...line, points: found[line.id] ?? [] })));
  });
}

async function trials() {
  const page = await get(trialsPath());
  // By default, the first trial with curves.
  trial ??= page.items.find(({ state }) => ["succeeded", "leased"].includes(state))?.id ?? null;
  draw("trials", [page, trial], () => showTrials(page, trial, renew));
  if (trial) await showTrial(trial, sweep.commands).catch(forget);
}

async function failures() {
  const failed = sweep.trials.quarantined > 0 ? await list("failures", { state: "quarantined" }) : null;
  byId("failures-section").hidden = !failed;
  if (!failed) return;
  draw("failures", [failed], () => {
    const open = new Map([...byId("failures").children].filter((node) => node.open).map((node) => [node.dataset.trial, node]));
    byId("failures").replaceChildren(...failed.items.map((trial) => open.get(trial.id) ?? failure(trial)));
    byId("failures-commands").replaceChildren(...(sweep.commands ? [commandButton("Retry all", { retry: { failed: true } })] : []));
    pages(byId("failures-pages"), failed, turn("failures"));
  });
}

async function workers() {
  const page = await list("workers");
  draw("workers", [page], () => {
    table(byId("workers"), workerColumns(sweep), page.items, "no worker has joined yet");
    pages(byId("workers-pages"), page, turn("workers"));
  });
}

function connection(kind, text) {
  const node = byId("connection");
  node.className = kind;
  if (node.textContent !== text) node.textContent = text;
}

/** Forgets a trial of an old link that this grid does not have. */
function forget(error) {
  if (error.status !== 404) throw error;
  trial = null;
  byId("trial").hidden = true;
}

/** `all`: even if the sweep is unchanged. */
async function refresh(all = false) {
  clearTimeout(timer);
  let next = SLOW;
  try {
    sweep = await get("api/v1/sweep");
    draw("progress", [sweep], () => showProgress(sweep));
    draw("filters", [sweep.sweep, JSON.stringify(sweep.axes)], () => showFilters(sweep, renew));
    // An unchanged sweep needs the answer alone, which is made with a delay.
    const asked = sweep;
    await Promise.all([answers(), ...(all || shown !== asked ? [failures(), trials(), workers()] : [])]);
    shown = asked;
    heard = Date.now();
    connection(sweep.live ? "live" : "files", sweep.finished ? "finished" : sweep.live ? "live" : "from its files");
    if (!sweep.finished) next = PERIOD;
  } catch (error) {
    const since = heard ? `, as of ${new Date(heard).toLocaleTimeString()}` : "";
    // The browser gives no reason when the coordinator has ended.
    connection("lost", error instanceof TypeError ? `the coordinator does not answer${since}` : `${error.message}${since}`);
    if (heard && Date.now() - heard < 6 * PERIOD) next = PERIOD;
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(() => refresh(), next);
}

byId("no-scripts").remove();
byId("trials").addEventListener("click", ({ target }) => {
  const id = target.closest("tr[data-trial]")?.dataset.trial;
  if (!id) return;
  trial = id;
  history.replaceState(null, "", `#trial=${id}`);
  renew().then(() => byId("trial").scrollIntoView({ block: "nearest" }));
});
byId("curves-clear").addEventListener("click", () => {
  cells = [];
  renew();
});
document.addEventListener("commanded", renew);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
