// All cells side by side: a row for each regulariser, a column for each number of images. A click
// draws a cell's curve.

import { pages } from "./tables.js";
import { DASH, byId, decimal, element, percent, shape } from "./text.js";

/** The most rows that are shown at a time. */
const ROWS = 40;
/** The least seeds of an interval: fewer say little about the mean. */
const LEAST_SEEDS = 3;
const WIDTH = 104;
let offset = 0;

/** The rows of a pivot with names and ids. */
export function rowsOf({ pivot, cells: ids }) {
  return pivot.rows.map(({ network, regulariser, variant, cells }) => ({
    network,
    regulariser,
    variant,
    cells: cells.map((cell, column) => cell && { ...cell, id: ids[cell.cell], size: pivot.sizes[column] }),
  }));
}

/** Fills the section. `chosen` has ids of cells, `colour` maps a regulariser, and `toggle` takes
 * ids. */
export function showPivot(answer, chosen, colour, toggle) {
  const { sizes, control } = answer.pivot;
  const rows = rowsOf(answer);
  const page = rows.slice(offset, offset + ROWS);
  const networks = [...new Set(page.map(({ network }) => network))];
  const focused = document.activeElement?.closest("#pivot .entry");
  byId("pivot").replaceChildren(...networks.map((network) => {
    const own = (rows) => rows.filter((row) => row.network === network);
    return panel({ network, named: own(rows).length < rows.length, rows: own(page), all: own(rows), sizes, control, chosen, colour, toggle });
  }));
  if (focused) byId("pivot").querySelector(`[data-cell="${focused.dataset.cell}"]`)?.focus({ preventScroll: true });
  pages(byId("pivot-pages"), { total: rows.length, limit: ROWS, offset }, (to) => {
    offset = to;
    showPivot(answer, chosen, colour, toggle);
  });
}

/** Rows that were drawn, with their content: few of many cells change at a time. */
const drawn = new Map();

function reuse(name, content, draw) {
  const text = JSON.stringify(content);
  if (drawn.get(name)?.text !== text) drawn.set(name, { text, node: draw() });
  return drawn.get(name).node;
}

/** The panel of a network. `rows` are shown, `all` set the scales, `control` is the usual
 * reference. */
function panel({ network, named, rows, all, sizes, control, chosen, colour, toggle }) {
  const columns = sizes.map((_, column) => all.map(({ cells }) => cells[column]));
  const [stars, scales] = [columns.map(best), columns.map(scale)];
  const choose = (column) => element("button", { type: "button", class: "column", "data-size": sizes[column], title: "draw the curves of this column" }, `n = ${sizes[column]}`);
  const ends = (column) => {
    const [low, high] = scales[column] ?? [];
    return low === undefined ? null : element("span", { class: "scale", "aria-hidden": "true" }, element("span", {}, decimal(100 * low, 1)), element("span", {}, `${decimal(100 * high, 1)} %`));
  };
  const head = element("tr", {}, element("th", { scope: "col" }, "regulariser"), ...sizes.map((_, column) => element("th", { scope: "col" }, choose(column), ends(column))));
  const name = (row) => [row.regulariser, row.variant].filter(Boolean).join(", ");
  const chosenOf = (row) => row.cells.map((cell) => cell && chosen.has(cell.id));
  const body = rows.map((row) => reuse(`${network} ${name(row)}`, [row.cells, scales, stars, control, chosenOf(row)], () => {
    const cells = () => row.cells.map((cell, column) => element("td", {}, cell ? entry(cell, name(row), scales[column], stars[column] === cell.cell, chosen, control) : ""));
    const line = element("tr", {}, element("th", { scope: "row" }, name(row)), ...cells());
    line.style.setProperty("--of-row", colour(row.regulariser));
    return line;
  }));
  const table = element("table", { class: "pivot" }, element("thead", {}, head), element("tbody", {}, ...body));
  table.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const column = sizes.findIndex((size) => String(size) === button.dataset.size);
    toggle(button.dataset.cell ? [button.dataset.cell] : rows.map(({ cells }) => cells[column]?.id).filter(Boolean), !button.dataset.cell);
  });
  return element("div", { class: "panel" }, named ? element("h3", {}, network) : null, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Accuracy of ${network}` }, table));
}

const SIGNS = { gain: ["+", "above"], loss: ["−", "below"] };

/** The mark of the usual reference without its name, and the most certain other one, if it is all
 * that there is or has another sign. */
function marks(decided, control) {
  const usual = decided.find((mark) => mark.control === control);
  const other = decided.find((mark) => mark.control !== control && mark.sign !== usual?.sign);
  return [usual, other].filter(Boolean).map((mark) => element("span", { class: mark.sign }, ` ${SIGNS[mark.sign][0]}${mark === usual ? "" : ` over ${mark.control}`}`));
}

function entry(cell, name, range, starred, chosen, control) {
  const { id, size, mean, seeds, planned, decided } = cell;
  const half = seeds >= LEAST_SEEDS ? cell.confidence_95 : null;
  const meaning = decided.map((mark) => `decided to be ${SIGNS[mark.sign][1]} ${mark.control}`).join(", ");
  const text = mean === null ? DASH : percent(mean) + (half === null ? "" : ` ± ${percent(half)}`);
  const label = `${name}, n = ${size}: ${text}${mean === null ? "" : " %"}, ${seeds} of ${planned} seeds${meaning ? `; ${meaning}` : ""}${starred ? "; the highest mean of its column" : ""}`;
  return element("button", { type: "button", class: "entry", "data-cell": id, "aria-pressed": chosen.has(id) ? "true" : "false", title: label, "aria-label": label },
    element("span", { class: `mean${decided.length > 0 ? " decided" : ""}` }, starred ? element("span", { class: "star" }, "★ ") : null, element("span", { class: "figure" }, mean === null ? DASH : percent(mean)), half === null ? null : element("span", { class: "half" }, ` ± ${percent(half)}`), ...marks(decided, control)),
    interval(mean, half, range),
    element("span", { class: "seeds", "data-n": `n = ${size}` }, seeds === planned ? `${seeds} seeds` : `${seeds} of ${planned} seeds`));
}

/** The ends of a column's scale: those of its complete cells, or of what there is. */
function scale(cells) {
  const known = cells.filter((cell) => cell && cell.mean !== null);
  const complete = known.filter(({ seeds, planned }) => seeds === planned);
  const ends = (complete.length > 1 ? complete : known).flatMap(({ mean, confidence_95: half, seeds }) => (seeds >= LEAST_SEEDS && half !== null ? [mean - half, mean + half] : [mean]));
  if (ends.length === 0) return null;
  const [low, high] = [Math.max(0, Math.min(...ends)), Math.min(1, Math.max(...ends))];
  return high > low ? [low, high] : [Math.max(0, low - 0.01), Math.min(1, high + 0.01)];
}

/** The highest mean of a column, among cells that have the same seeds: all of them. */
function best(cells) {
  const complete = cells.filter((cell) => cell && cell.mean !== null && cell.seeds === cell.planned);
  const seeds = Math.max(0, ...complete.map(({ planned }) => planned));
  const alike = complete.filter(({ planned }) => planned === seeds);
  if (alike.length < 2) return null;
  return alike.reduce((best, cell) => (cell.mean > best.mean ? cell : best)).cell;
}

/** The mean and its interval on the scale of its column. Parts beyond the scale end at its edge. */
function interval(mean, half, range) {
  if (mean === null || !range) return null;
  const x = (share) => 4 + ((WIDTH - 8) * (Math.min(range[1], Math.max(range[0], share)) - range[0])) / (range[1] - range[0]);
  const inside = (share) => share >= range[0] && share <= range[1];
  const cap = (share) => (inside(share) ? shape("line", { x1: x(share), x2: x(share), y1: 2, y2: 8 }) : null);
  return shape("svg", { class: "interval", viewBox: `0 0 ${WIDTH} 10`, "aria-hidden": "true" },
    shape("line", { class: "frame", x1: 0, x2: WIDTH, y1: 5, y2: 5 }),
    half === null ? null : shape("line", { x1: x(mean - half), x2: x(mean + half), y1: 5, y2: 5 }),
    half === null ? null : cap(mean - half),
    half === null ? null : cap(mean + half),
    shape("circle", { class: inside(mean) ? null : "beyond", cx: x(mean), cy: 5, r: 3.2 }));
}
