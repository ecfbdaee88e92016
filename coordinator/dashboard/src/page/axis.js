// The axes of charts.

import { shape } from "./text.js";

export const LEFT = 52;
export const TOP = 10;
export const BOTTOM = 24;

/** Round numbers that divide a range into about so many parts. */
export function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step);
}

const steps = (step) => (step >= 10_000 && step % 1000 === 0 ? `${step / 1000}k` : String(step));

/** Lines and numbers of both axes. `label` takes a value of the vertical axis, and the distance of
 * rows. */
export function frame({ width, height, right, x, y, low, high, end, rows, label }) {
  const across = ticks(low, high, rows);
  const along = ticks(0, end, width < 400 ? 3 : 5);
  return [
    ...across.map((row) => shape("line", { class: "grid", x1: LEFT, x2: width - right, y1: y(row), y2: y(row) })),
    ...across.map((row) => shape("text", { x: LEFT - 7, y: y(row) + 4, "text-anchor": "end" }, label(row, across[1] - across[0] || 1))),
    ...along.map((column) => shape("text", { x: x(column), y: height - 6, "text-anchor": "middle" }, steps(column))),
  ];
}

/** Draws when a figure gets a width, and again when it changes; a moment later, since drawing
 * changes its height. */
export function whenPlaced(figure, draw) {
  new ResizeObserver(([{ contentRect: { width } }]) => {
    if (width > 0) requestAnimationFrame(() => draw(Math.round(width)));
  }).observe(figure);
}

/** A path through points. */
export const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
