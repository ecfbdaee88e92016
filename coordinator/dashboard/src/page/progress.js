// How far the sweep is.

import { DASH, STATES, byId, count, decimal, duration, element, rough, time } from "./text.js";

const ORDER = ["succeeded", "leased", "quarantined", "pending"];

/** The share that is done, as people read it: not 100 before all is. */
function share({ share_done: done, finished }) {
  if (finished) return "100";
  const percent = Math.min(99, 100 * done);
  return percent < 10 ? decimal(percent, 1) : String(Math.floor(percent));
}

/** When it will be over, or why that is not known. */
function outlook({ finished, live, trials, connected_workers: connected, remaining_seconds: left, changed }) {
  if (finished) return trials.quarantined > 0 ? `finished, ${trials.quarantined} failed` : "finished";
  if (!live) return changed === null ? "" : `last change ${time(changed)}`;
  if (connected === 0) return "waiting for workers";
  return left === null ? "" : `about ${rough(left)} left`;
}

/** Fills the section: text and bar are the same number, the share of the arithmetic that is done. */
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
  // How long a finished sweep has been idle tells nothing, and files do not say how long anything ran.
  const facts = sweep.live && !sweep.finished ? [count(sweep.connected_workers, "worker"), `running for ${duration(sweep.elapsed_seconds)}`, ...(pace === DASH ? [] : [pace])] : [];
  byId("facts").textContent = facts.join(" · ");
  byId("metrics-link").hidden = !sweep.live;
  byId("report-link").hidden = sweep.report === null;
  byId("report-time").textContent = sweep.report === null ? "" : ` of ${time(sweep.report)}`;
}
