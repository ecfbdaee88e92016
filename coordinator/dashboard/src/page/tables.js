// Tables and their pages.

import { commandButton } from "./command.js";
import { DASH, count, duration, element, state, time, workerName } from "./text.js";

/** Fills a table. A column has a title, a content, a flag for numbers, and a name for sorting. */
export function table(node, columns, rows, empty, rowAttributes = () => ({}), sorting = null) {
  const cell = ({ title, content, number }, row) => element("td", { class: number && "number", "data-title": typeof title === "string" ? title : null }, content(row));
  const head = element("tr", {}, ...columns.map((column) => heading(column, sorting)));
  const body = rows.map((row) => element("tr", rowAttributes(row), ...columns.map((column) => cell(column, row))));
  if (rows.length === 0) body.push(element("tr", {}, element("td", { class: "empty", colspan: columns.length }, empty)));
  node.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

/** `sorting`: the column, the direction, and the function to call with a name. */
function heading({ title, number, sort }, sorting) {
  const kind = number ? "number" : null;
  if (!sort || !sorting) return element("th", { scope: "col", class: kind }, title);
  const by = sorting.by === sort;
  const button = element("button", { type: "button", class: "sort" }, title, element("span", { "aria-hidden": "true" }, by ? (sorting.descending ? " ▾" : " ▴") : ""));
  button.addEventListener("click", () => sorting.choose(sort));
  return element("th", { scope: "col", class: kind, "aria-sort": by ? (sorting.descending ? "descending" : "ascending") : null }, button);
}

/** Buttons for the pages of a long list; none if one page has all of it. */
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
    element("span", {}, total > offset ? `${offset + 1} to ${last} of ${total}` : count(total, "line")),
    button("Next", offset + limit, last < total),
  );
}

const clip = (text) => element("span", { class: "clip", title: text }, text);

/** A worker's short name; its title is the id. */
export const worker = (id) => element("span", { class: "worker", title: id }, workerName(id));

const presence = ({ connected }) => element("span", { class: connected ? "succeeded" : "pending" }, element("span", { class: "sign", "aria-hidden": "true" }, connected ? "●" : "○"), connected ? "connected" : "gone");

const leave = ({ id, connected }) => (connected ? commandButton("Drain", { drain: { workers: [id] } }, `Drain ${workerName(id)}? It finishes its trials and leaves.`) : null);

/** Files do not have the connections. */
export const workerColumns = ({ live, commands }) => [
  { title: "worker", content: ({ id }) => worker(id) },
  ...(live ? [{ title: "state", content: presence }] : []),
  { title: "running", number: true, content: ({ running }) => running },
  { title: "done", number: true, content: ({ succeeded }) => succeeded },
  { title: "per trial", number: true, content: ({ succeeded, seconds }) => (succeeded > 0 ? duration(seconds / succeeded) : DASH) },
  { title: "host", content: ({ host }) => clip(host) },
  { title: "device", content: ({ device }) => clip(device) },
  { title: "model", content: ({ model }) => clip(model) },
  { title: "joined", content: ({ joined }) => time(joined) },
  ...(commands ? [{ title: "command", content: leave }] : []),
];
