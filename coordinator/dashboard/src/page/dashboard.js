// The page: asks every few seconds, and draws what has changed.

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
/** When nothing moves any more, or nobody answers. */
const SLOW = 10_000;
/** Curves that are drawn at a time. */
const MOST_CURVES = 12;
/** Of who has not chosen any. */
const FIRST_CURVES = 6;

const offsets = { failures: 0, workers: 0 };
const limits = { failures: 10, workers: 15 };
/** Which evaluation of a trial counts. */
const SELECTIONS = { final: "Test accuracy after the last iteration", best: "Test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES", validation: "Test accuracy at each trial's best evaluation on validation images" };

/** What was drawn last, by what it is. */
const drawn = new Map();
let sweep = null;
/** The sweep as it was when all of it was drawn. */
let shown = null;
let answer = null;
let trial = location.hash.match(/^#trial=([0-9a-f]{32})$/)?.[1] ?? null;
/** Ids of the cells whose curves are drawn; nobody has chosen any while it is null. */
let cells = null;
let heard = null;
let timer = null;

/** Draws what is not what was drawn last. Answers that have not changed are the same objects. */
function draw(what, content, how) {
  const before = drawn.get(what);
  if (before && before.length === content.length && before.every((part, index) => part === content[index])) return;
  drawn.set(what, content);
  performance.mark("draw");
  how();
  performance.measure(`draw ${what}`, "draw");
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

/** Somebody wants to see something else. */
const renew = () => refresh(true);

/** That of a regulariser in the report, too. */
const colour = (regulariser) => `var(${sweep.colours[regulariser] ?? "--succeeded"})`;

/** What is drawn for who has not chosen: the first column that has results, of the first network. */
function usual(rows) {
  const columns = answer.pivot.sizes.map((_, column) => rows.filter(({ network, cells }) => network === rows[0].network && cells[column]?.seeds > 0).map(({ cells }) => cells[column].id));
  return (columns.find((ids) => ids.length > 0) ?? []).slice(0, FIRST_CURVES);
}

/** The lines of the chosen cells: a colour for each regulariser, dashes for what else differs. */
function chosenLines() {
  const rows = rowsOf(answer);
  const all = rows.flatMap((row) => row.cells.filter(Boolean).map((cell) => ({ ...cell, row })));
  const ids = cells ?? usual(rows);
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
  const before = cells ?? usual(rowsOf(answer));
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
  });
  // Mean curves are of trials that are done: they change when the answer does.
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
  // Something to see for who has not chosen yet.
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
    byId("failures-commands").replaceChildren(...(sweep.commands ? [commandButton("Try all again", { retry: { failed: true } })] : []));
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

/** A trial that is not of this grid, as in an old link. */
function forget(error) {
  if (error.status !== 404) throw error;
  trial = null;
  byId("trial").hidden = true;
}

/** `all`: although nothing has changed. */
async function refresh(all = false) {
  clearTimeout(timer);
  let next = SLOW;
  try {
    sweep = await get("api/v1/sweep");
    draw("progress", [sweep], () => showProgress(sweep));
    draw("filters", [sweep.sweep, JSON.stringify(sweep.axes)], () => showFilters(sweep, renew));
    // Where nothing has changed, as in the files of a sweep that is over, there is nothing to ask but for the answer, which takes a while.
    const asked = sweep;
    await Promise.all([answers(), ...(all || shown !== asked ? [failures(), trials(), workers()] : [])]);
    shown = asked;
    heard = Date.now();
    connection(sweep.live ? "live" : "files", sweep.finished ? "finished" : sweep.live ? "live" : "from its files");
    if (!sweep.finished) next = PERIOD;
  } catch (error) {
    const since = heard ? `, as of ${new Date(heard).toLocaleTimeString()}` : "";
    // Of a coordinator that has ended the browser knows nothing better.
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
