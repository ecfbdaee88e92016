// The answer so far: claims with their verdicts, decided comparisons, and the others in numbers.

import { pages, table } from "./tables.js";
import { DASH, byId, count, element, pValue, points } from "./text.js";

const VERDICTS = {
  held: { kind: "held", sign: "✓" },
  "not held": { kind: "not-held", sign: "✕" },
  undecided: { kind: "undecided", sign: "?" },
};

/** The most decided comparisons that are shown at a time. */
const ROWS = 10;
let offset = 0;

/** Fills the section with the answer. */
export function showAnswer(answer, finished) {
  const open = !finished && answer.synthesis.open;
  byId("answer-title").textContent = open ? "What the results say so far" : "What the results say";
  byId("claims").replaceChildren(...answer.claims.map((line) => claim(line, open)));
  byId("synthesis").textContent = synthesis(answer.synthesis, open);
  const list = { items: answer.decided.slice(offset, offset + ROWS), total: answer.decided.length, limit: ROWS, offset };
  byId("decided-box").hidden = answer.decided.length === 0;
  table(byId("decided"), columns(answer.decided), list.items, "");
  pages(byId("decided-pages"), list, (to) => {
    offset = to;
    showAnswer(answer, finished);
  });
}

/** The most pairs of cells of a claim that are shown. */
const PAIRS = 8;

function claim({ text, verdict, provisional, pairs, seeds_needed: needed, seeds }, open) {
  const { kind, sign } = VERDICTS[verdict] ?? VERDICTS.undecided;
  const soFar = open && provisional ? " so far" : "";
  const badge = element("span", { class: `badge ${kind}` }, element("span", { "aria-hidden": "true" }, sign), ` ${verdict}${soFar}`);
  const [held, lost] = ["held", "not held"].map((wanted) => pairs.filter((pair) => pair.verdict === wanted).length);
  const lead = pairs.length === 0 ? "the sweep has none of its trials" : pairs.length === 1 ? named(pairs[0]) : `held for ${held} of ${pairs.length} pairs${lost > 0 ? `, not held for ${lost}` : ""}`;
  const lines = pairs.length > 1 ? pairs.slice(0, PAIRS).map((pair) => `${named(pair)}, ${pair.verdict}`) : [];
  if (pairs.length > PAIRS) lines.push(`and ${pairs.length - PAIRS} more in summary.json`);
  if (needed > seeds) lines.push(`this takes about ${needed} seeds in all, and there are ${seeds} so far`);
  const list = lines.length > 0 ? element("ul", { class: "quiet" }, ...lines.map((line) => element("li", {}, line))) : null;
  return element("li", {}, badge, element("span", { class: "claim" }, text, " ", element("span", { class: "quiet" }, lead), list));
}

function named(pair) {
  return `${pair.context}, ${pair.treatment} over ${pair.control}: ${result(pair)}`;
}

/** Difference, interval and corrected p-value of a pair of cells. */
function result({ mean, confidence_95: half, p_holm: p }) {
  if (mean === null) return "no seed has both results yet";
  const interval = half === null ? DASH : `${points(mean - half)} to ${points(mean + half)}`;
  return `${points(mean)} points (alone: ${interval}), Holm p ${p === null ? "unknown" : (p < 0.0001 ? "" : "= ") + pValue(p)}`;
}

function synthesis({ comparisons, gains, losses, undecided, alone, unknown, seeds_for_one_point: needed, seeds }, open) {
  if (comparisons === 0) return "This grid compares nothing: it has no cells to compare, or names none.";
  const decided = gains + losses;
  const far = open ? " so far" : "";
  const all = count(comparisons, "comparison");
  const none = comparisons === 1 ? "The only comparison is not decided" : `None of ${all} is decided`;
  const parts = [decided === 0 ? none + far : `${decided} of ${all} ${decided === 1 ? "is" : "are"} decided${far}`];
  if (decided > 0) parts[0] += ` (${count(gains, "gain")}, ${losses === 1 ? "1 loss" : `${losses} losses`})`;
  const few = alone > 0 ? ` (${alone} ${alone === 1 ? "has" : "have"} p < 0.05 alone)` : "";
  if (decided === 0) parts[0] += few;
  else if (undecided > 0) parts.push(`${undecided} ${undecided === 1 ? "is" : "are"} not${few}`);
  if (unknown > 0) parts.push(`${unknown} ${unknown === 1 ? "has" : "have"} no results yet`);
  const last = parts.pop();
  const sentence = parts.length > 0 ? `${parts.join(", ")} and ${last}.` : `${last}.`;
  if (!needed || undecided === 0) return sentence;
  const each = undecided === 1 ? "" : " in each of them";
  return needed <= seeds ? `${sentence} ${count(seeds, "seed")} are enough to show a difference of one point${each}.` : `${sentence} To show a difference of one point${each} takes about ${needed} seeds in all; there are ${seeds}${far}.`;
}

function columns(decided) {
  const gain = ({ sign }) => sign === "gain";
  return [
    ...(decided.some(({ name }) => name) ? [{ title: "name", content: ({ name }) => name ?? "" }] : []),
    { title: "at", content: ({ context }) => context },
    { title: "regulariser", content: ({ treatment }) => treatment },
    { title: "over", content: ({ control }) => control },
    { title: "points", number: true, content: (line) => element("b", { class: gain(line) ? "gain" : "loss" }, points(line.mean)) },
    { title: "95 % interval", number: true, content: ({ mean, confidence_95: half }) => (half === null ? DASH : `${points(mean - half)} to ${points(mean + half)}`) },
    { title: "Holm p", number: true, content: ({ p_holm: p }) => pValue(p) },
    { title: "seeds", number: true, content: ({ seeds, planned }) => (seeds === planned ? seeds : `${seeds} of ${planned}`) },
  ];
}
