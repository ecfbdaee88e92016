// Elements and their texts. Texts of workers become text here, never markup.

/** An element with attributes and children; children that are not nodes are text. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** The states of trials: their words and signs for people. */
export const STATES = {
  succeeded: { name: "done", sign: "✓" },
  leased: { name: "running", sign: "▸" },
  pending: { name: "waiting", sign: "○" },
  quarantined: { name: "failed", sign: "✕" },
};

export function state(name) {
  const { name: text, sign } = STATES[name] ?? { name, sign: "?" };
  const known = name in STATES ? name : "";
  return element("span", { class: known }, element("span", { class: "sign", "aria-hidden": "true" }, sign), text);
}

export const DASH = "–";

/** A number with so many decimals, rounded as in the report (`rounding.rs`): halves go away from
 * zero, and zero has no sign. */
export function decimal(value, digits) {
  const scale = 10 ** digits;
  const rounded = Math.round(Math.round(Math.abs(value) * scale * 1e6) / 1e6) / scale;
  return (value < 0 && rounded !== 0 ? "−" : "") + rounded.toFixed(digits);
}

export const percent = (share) => (share === null || share === undefined ? DASH : decimal(100 * share, 2));

/** A difference of shares in percentage points, with its sign. */
export function points(share) {
  const text = decimal(100 * share, 2);
  return (Number(text) > 0 ? "+" : "") + text;
}

/** A p-value: three digits near the level of 5 %, and never rounded to that level. */
export function pValue(p) {
  if (p === null || p === undefined) return DASH;
  if (p < 0.0001) return "< 0.0001";
  if (p >= 0.06) return decimal(p, 3);
  const digits = 2 - Math.floor(Math.log10(p));
  const texts = Array.from({ length: 9 }, (_, more) => decimal(p, digits + more));
  return texts.find((text) => Number(text) !== 0.05 || p === 0.05) ?? texts[0];
}

/** A number of things. */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

/** A worker's host and device: `local cpu 1`, `hostB cuda:0`. Its id has the rest. */
export function workerName(id) {
  const parts = id.split(":");
  const local = parts[0] === "" || id.startsWith(".local:");
  const host = local ? "local" : parts[0].replace(/-[0-9a-f]{10}$/, "");
  const device = parts.map((part) => part.match(/^([a-z]+)(\d*)-(\d+)(?:\.[0-9a-f]+)?$/)).find(Boolean);
  if (!device) return id.length > 24 ? `…${id.slice(-22)}` : id;
  const [, kind, number, index] = device;
  return `${host} ${number === "" ? `${kind} ${index}` : `${kind}:${number}`}`;
}

/** A value of a curve. */
export function value(metric, y) {
  if (metric.endsWith("/accuracy")) return `${percent(y)} %`;
  return Math.abs(y) >= 100 ? decimal(y, 0) : Math.abs(y) >= 0.001 || y === 0 ? decimal(y, 3) : y.toExponential(2);
}

/** A duration, in its two largest units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 9.95) return `${decimal(seconds, 1)} s`;
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [Math.floor(seconds) % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** An estimated duration. */
export function rough(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : duration(60 * minutes);
}

/** A point in time, in local time. */
export function time(seconds) {
  const date = new Date(1000 * seconds);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString();
}
