// Mean curves of the chosen cells, one over the other, each with the band of its 95 % interval.

import { BOTTOM, LEFT, TOP, frame, path, whenPlaced } from "./axis.js";
import { byId, decimal, element, percent, shape } from "./text.js";

const HEIGHT = 320;
const RIGHT = 14;
const LEAST_SEEDS = 3;
/** Dashes tell lines of one colour apart. */
const DASHES = ["none", "7 4", "2 3", "10 3 2 3"];

/** Fills the section. A line has a name, a colour, a number of its dashes, and points. */
export function showCurves(lines) {
  const drawn = lines.filter(({ points }) => points.length > 0);
  const missing = lines.filter(({ points }) => points.length === 0).map(({ name }) => name);
  byId("curves-note").textContent = [
    "Test accuracy, mean over the seeds that are done. Bands: 95 % intervals, from three seeds on.",
    missing.length > 0 ? `No seed is done yet: ${missing.join("; ")}.` : "",
  ].filter(Boolean).join(" ");
  if (drawn.length === 0) {
    const why = lines.length === 0 ? "Click on cells of the table above to draw their curves." : "No curve yet.";
    return byId("curves").replaceChildren(element("p", { class: "quiet nothing" }, why));
  }
  byId("curves").replaceChildren(figure(drawn));
}

function figure(lines) {
  const values = lines.map(() => element("span", { class: "value" }));
  const legend = element("ul", { class: "legend" }, ...lines.map((line, index) => element("li", {}, key(line), `${line.name} `, values[index])));
  const figure = element("figure", {}, legend);
  const show = (at) => lines.forEach(({ points }, index) => {
    const point = at === null ? points.at(-1) : nearest(points, at);
    const half = point.n >= LEAST_SEEDS && point.confidence_95 !== null ? ` ± ${percent(point.confidence_95)}` : "";
    values[index].textContent = `${percent(point.mean)}${half} % at ${point.step}, ${point.n} ${point.n === 1 ? "seed" : "seeds"}`;
  });
  show(null);
  let svg = null;
  whenPlaced(figure, (width) => {
    const drawn = draw(lines, width, show);
    svg ? svg.replaceWith(drawn) : figure.prepend(drawn);
    svg = drawn;
  });
  return figure;
}

const nearest = (points, at) => points.reduce((best, point) => (Math.abs(point.step - at) < Math.abs(best.step - at) ? point : best));

function key({ colour, dash }) {
  return paint(shape("svg", { class: "key", viewBox: "0 0 26 10", "aria-hidden": "true" }, shape("line", { class: "mean", x1: 1, x2: 25, y1: 5, y2: 5, "stroke-dasharray": DASHES[dash] })), colour);
}

function paint(node, colour) {
  node.style.setProperty("--line", colour);
  return node;
}

const clamp = (share) => Math.min(1, Math.max(0, share));

/** The ends of the band at a point; both are the mean if there are too few seeds. */
const band = ({ n, mean, confidence_95: half }) => (n >= LEAST_SEEDS && half !== null ? [clamp(mean - half), clamp(mean + half)] : [mean, mean]);

function range(lines, end) {
  // The steep beginning may lie below the chart: people compare the later part.
  const late = lines.flatMap(({ points }) => points.filter(({ step }) => step >= 0.2 * end || points.length < 4).flatMap(band));
  const [low, high] = [Math.min(...late), Math.max(...late)];
  const room = 0.05 * (high - low) || 0.01;
  return [clamp(low - room), clamp(high + room)];
}

function draw(lines, width, show) {
  const end = Math.max(...lines.map(({ points }) => points.at(-1).step));
  const [low, high] = range(lines, end);
  const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(1, end);
  const y = (share) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - Math.max(low - 1, share))) / (high - low || 1);
  const digits = (step) => Math.max(0, -Math.floor(Math.log10(100 * step) + 1e-9));
  const cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const area = ({ points }) => {
    const upper = points.map((point) => [x(point.step), y(band(point)[1])]);
    const lower = points.map((point) => [x(point.step), y(band(point)[0])]).reverse();
    return `${path([...upper, ...lower])}Z`;
  };
  const dots = ({ points }) => (points.length === 1 ? points : []).map((point) => shape("circle", { class: "dot", cx: x(point.step), cy: y(point.mean), r: 3.5 }));
  const of = (line) => paint(shape("g", {},
    shape("path", { class: "band", d: area(line) }),
    shape("path", { class: "mean", "stroke-dasharray": DASHES[line.dash], d: path(line.points.map((point) => [x(point.step), y(point.mean)])) }),
    ...dots(line)), line.colour);
  const clip = shape("clipPath", { id: "curves-clip" }, shape("rect", { x: LEFT, y: TOP, width: Math.max(0, width - LEFT - RIGHT + 6), height: HEIGHT - TOP - BOTTOM }));
  const svg = shape("svg", { class: "chart overlay", viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": `Mean test accuracy over iterations of ${lines.map(({ name }) => name).join("; ")}` },
    shape("defs", {}, clip),
    ...frame({ width, height: HEIGHT, right: RIGHT, x, y, low, high, end, rows: 6, label: (row, step) => `${decimal(100 * row, digits(step))} %` }),
    cursor,
    shape("g", { "clip-path": "url(#curves-clip)" }, ...lines.map(of)));
  svg.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT)) * end;
    const { step } = nearest(lines.flatMap(({ points }) => points), at);
    show(step);
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    show(null);
  });
  return svg;
}
