// The list of trials: a column and a filter for each axis in which they differ.

import { parameters } from "./ask.js";
import { pages, table, worker } from "./tables.js";
import { DASH, STATES, byId, decimal, element, percent, state } from "./text.js";

const LIMIT = 15;
let axes = [];
let offset = 0;
/** Values by the names of the axes, and the state. */
let filters = {};
let sort = { by: "state", descending: false };

/** The request for the list. */
export function trialsPath() {
  const by = `${sort.descending ? "-" : ""}${sort.by}`;
  return `api/v1/trials?${parameters({ ...filters, sort: by, limit: LIMIT, offset })}`;
}

/** Makes the filters, once. `change` is called when the list has to change. */
export function showFilters(sweep, change) {
  axes = sweep.axes;
  const choose = (name, value) => {
    filters = { ...filters, [name]: value };
    offset = 0;
    change();
  };
  const states = Object.entries(STATES).map(([value, { name }]) => [value, name]);
  const all = [{ name: "state", title: "state", values: states }, ...axes.map((axis) => ({ ...axis, values: axis.values.map((value) => [value, value]) }))];
  byId("filters").replaceChildren(...all.map(({ name, title, values }) => {
    const options = values.map(([value, text]) => element("option", { value }, text));
    const input = values.length > 0 ? element("select", { "data-filter": name }, element("option", { value: "" }, "all"), ...options) : element("input", { "data-filter": name, inputmode: "numeric", size: 6, placeholder: "all" });
    input.value = filters[name] ?? "";
    input.addEventListener("change", () => choose(name, input.value.trim()));
    return element("label", {}, `${title} `, input);
  }));
}

/** The state of a trial, and the progress of a running one. */
function progress(trial) {
  if (trial.state !== "leased") return state(trial.state);
  const share = Math.round((100 * trial.step) / Math.max(1, trial.steps));
  const done = element("span");
  done.style.width = `${share}%`;
  return element("span", {}, state("leased"), element("span", { class: "meter", "aria-hidden": "true" }, done), `${share} %`);
}

/** The label of a trial: its values on all axes in which trials differ. */
export function trialLabel({ axes: values, seed }) {
  const parts = axes.filter(({ name }) => name !== "seed" && name in values).map(({ name, title, numeric }) => (numeric ? `${title} ${values[name]}` : values[name]));
  return [...parts, `seed ${seed}`].join(", ");
}

const at = (name) => (trial) => (name === "seed" ? trial.seed : (trial.axes[name] ?? DASH));

function columns() {
  const button = (trial) => element("button", { type: "button", class: "id", "aria-label": `show trial ${trial.id}` }, trial.id.slice(0, 8));
  return [
    { title: "trial", content: button },
    { title: "state", sort: "state", content: progress },
    { title: "accuracy %", sort: "accuracy", number: true, content: ({ outcome }) => percent(outcome?.final_test_accuracy) },
    ...axes.map(({ name, title, numeric }) => ({ title, sort: name, number: numeric, content: at(name) })),
    { title: "seconds", sort: "seconds", number: true, content: ({ outcome }) => (outcome ? decimal(outcome.vae_seconds + outcome.classifier_seconds, 1) : DASH) },
    { title: "attempts", sort: "attempts", number: true, content: ({ attempts }) => attempts },
    { title: "worker", sort: "worker", content: (trial) => (trial.worker ? worker(trial.worker) : DASH) },
  ];
}

/** Fills the list. */
export function showTrials(list, chosen, change) {
  const attributes = ({ id }) => ({ "data-trial": id, class: id === chosen && "chosen", "aria-current": id === chosen && "true" });
  const focused = document.activeElement?.closest("#trials tr")?.dataset.trial;
  const sorting = {
    ...sort,
    choose: (by) => {
      // The highest accuracy comes first.
      sort = { by, descending: sort.by === by ? !sort.descending : by === "accuracy" };
      offset = 0;
      change();
    },
  };
  table(byId("trials"), columns(), list.items, "no trial matches the filters", attributes, sorting);
  if (focused) byId("trials").querySelector(`tr[data-trial="${focused}"] button`)?.focus();
  pages(byId("trials-pages"), list, (to) => {
    offset = to;
    change();
  });
}
