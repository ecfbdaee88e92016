// The progress of the sweep.

import { DASH, STATES, byId, count, decimal, duration, element, rough, time } from "./text.js";

const ORDER = ["succeeded", "leased", "quarantined", "pending"];

/** The share that is done, in percent: 100 only at the end. */
function share({ share_done: done, finished }) {
  if (finished) return "100";
  const percent = Math.min(99, 100 * done);
  return percent < 10 ? decimal(percent, 1) : String(Math.floor(percent));
}

/** The time left, or the reason why it is unknown. */
function outlook({ finished, live, trials, connected_workers: connected, remaining_seconds: left, changed }) {
  if (finished) return trials.quarantined > 0 ? `finished, ${trials.quarantined} failed` : "finished";
  if (!live) return changed === null ? "" : `last change ${time(changed)}`;
  if (connected === 0) return "waiting for workers";
  return left === null ? "" : `about ${rough(left)} left`;
}

/** Fills the section. Text and bar show the same share of the arithmetic. */
export function showProgress(sweep) {
  const { trials } = sweep;
  const percent = share(sweep);
  byId("sweep").textContent = sweep.sweep;
  byId("about").textContent = `${sweep.dataset}, ${count(trials.total, "trial")}, in ${sweep.run_dir}`;
  byId("version").textContent = `swfn ${sweep.version}`;
  document.title = `${percent} % ${sweep.sweep}`;
  byId("percent").textContent = `${percent} %`;
  byId("eta").textContent = outlook(sweep);
  byId("bar").setAttribute("aria-valuenow", percent);
  byId("bar-done").style.width = `${percent}%`;
  const shown = ORDER.filter((name) => trials[name] > 0 || name === "succeeded");
  byId("states").replaceChildren(...shown.map((name) => element("li", { class: name }, element("span", { class: "sign", "aria-hidden": "true" }, STATES[name].sign), element("b", {}, trials[name]), ` ${STATES[name].name}`)));
  const pace = sweep.succeeded_since_start > 0 ? `${Math.round((3600 * sweep.succeeded_since_start) / sweep.elapsed_seconds)} trials an hour` : DASH;
  // Files do not have the time, and after the end it means nothing.
  const facts = sweep.live && !sweep.finished ? [count(sweep.connected_workers, "worker"), `running for ${duration(sweep.elapsed_seconds)}`, ...(pace === DASH ? [] : [pace])] : [];
  byId("facts").textContent = facts.join(" · ");
  byId("metrics-link").hidden = !sweep.live;
  byId("report-link").hidden = sweep.report === null;
  byId("report-time").textContent = sweep.report === null ? "" : ` of ${time(sweep.report)}`;
}
