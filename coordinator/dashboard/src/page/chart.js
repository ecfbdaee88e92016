// One curve as an SVG.

import { BOTTOM, LEFT, TOP, frame, path, whenPlaced } from "./axis.js";
import { decimal, element, shape, value } from "./text.js";

const HEIGHT = { large: 220, small: 130 };
const RIGHT = 14;

function label(metric, y, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return metric.endsWith("/accuracy") ? `${decimal(100 * y, Math.max(0, digits - 2))} %` : decimal(y, Math.min(digits, 6));
}

/** A figure with the points of a metric by step. `end`: the last step of the whole curve. */
export function chart(metric, points, end, size) {
  const caption = element("span", { class: "value" });
  const figure = element("figure", {}, element("figcaption", {}, element("b", {}, metric), caption));
  const last = points.at(-1);
  const rest = () => {
    caption.textContent = `${value(metric, last.value)} at step ${last.step}`;
  };
  rest();
  let svg = null;
  whenPlaced(figure, draw);
  function draw(width) {
    const height = HEIGHT[size];
    const values = points.map((point) => point.value);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.06 * (high - low) || Math.abs(high) * 0.05 || 0.1;
    [low, high] = [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
    if (metric.endsWith("/accuracy")) high = Math.min(high, 1);
    const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(1, end);
    const y = (value) => TOP + ((height - TOP - BOTTOM) * (high - value)) / (high - low || 1);
    const cursor = shape("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    const dots = points.length <= 30 ? points : [last];
    const drawn = shape("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${metric}: ${value(metric, last.value)} at step ${last.step}` },
      ...frame({ width, height, right: RIGHT, x, y, low, high, end, rows: size === "large" ? 5 : 3, label: (row, step) => label(metric, row, step) }),
      cursor,
      shape("path", { class: "curve", d: path(points.map((point) => [x(point.step), y(point.value)])) }),
      ...dots.map((point) => shape("circle", { class: "point", cx: x(point.step), cy: y(point.value), r: 3 })));
    drawn.addEventListener("pointermove", (event) => {
      const at = ((event.clientX - drawn.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT)) * end;
      const nearest = points.reduce((best, point) => (Math.abs(point.step - at) < Math.abs(best.step - at) ? point : best));
      caption.textContent = `${value(metric, nearest.value)} at step ${nearest.step}`;
      cursor.setAttribute("x1", x(nearest.step));
      cursor.setAttribute("x2", x(nearest.step));
      cursor.setAttribute("visibility", "visible");
    });
    drawn.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      rest();
    });
    svg ? svg.replaceWith(drawn) : figure.append(drawn);
    svg = drawn;
  }
  return figure;
}
