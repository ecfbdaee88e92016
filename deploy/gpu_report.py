"""Writes FOLDER/report.json and FOLDER/report.txt from the measurements of deploy/gpu-check.sh.

usage: gpu_report.py FOLDER

The report says so if a measurement is missing. Only Python's own library is needed.
"""

import csv
import json
import math
import statistics
import sys
from pathlib import Path

GOAL_RATIO, GOAL_SECONDS, STRETCH_SECONDS = 25, 120, 60
TRIALS_OF_CASE, ITERATIONS, VAES = 20, 10_000, 10  # of paper.toml
# Quantiles of Student's t at 97.5 %, by degrees of freedom.
T = [math.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228]


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else None


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def trials(run):
    path = run / "trials.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def lanes(rows, say):
    ratios = {}
    for row in rows:
        key = f"{row['architecture']}, {row['samples']} samples, {row['precision']}"
        ratios.setdefault(key, {})[row["lanes"]] = row["iterations_per_second"]
    for key, rates in ratios.items():
        best = max(rates, key=rates.get)
        text = f"{key}: {rates[best]:.0f} iterations/s in {best} lanes"
        if 1 in rates and 64 in rates:
            text += f"; 64 lanes / 1 lane = {rates[64] / rates[1]:.1f} (goal {GOAL_RATIO})"
        say(text)
    return {
        key: {
            "rates": rates,
            "of_64_over_1": rates[64] / rates[1] if {1, 64} <= set(rates) else None,
        }
        for key, rates in ratios.items()
    }


def pytorch(rates, say):
    """Returns the time of paper.toml, one trial after the other, each VAE trained once."""
    cases = [case for case in rates if case != "vae"]
    if "vae" not in rates or len(cases) != 8:
        say("PyTorch, one trial after the other: not all cases were timed")
        return None
    seconds = (
        sum(TRIALS_OF_CASE * ITERATIONS / rates[case] for case in cases)
        + VAES * ITERATIONS / rates["vae"]
    )
    say(
        f"PyTorch, the 160 trials one after the other: {seconds:.0f} s, "
        "from the time of an iteration, without evaluations"
    )
    return seconds


def sweeps(folder, say):
    results = {}
    for path in sorted(folder.glob("sweep-*.json")):
        result = read_json(path)
        rows = trials(folder / result["run"])
        result["succeeded"] = sum(row["state"] == "succeeded" for row in rows)
        result["devices"] = sorted({row.get("device", "") for row in rows})
        results[path.stem] = result
        text = f"{path.stem}: {result['succeeded']} of {len(rows)} trials "
        text += f"in {result['seconds']:.1f} s on {', '.join(result['devices'])}"
        if len(rows) == 160:
            text += f" (goal {GOAL_SECONDS}, stretch {STRETCH_SECONDS})"
        say(text)
    return results


def precision(folder, say):
    exact, rounded = (
        {
            (row["architecture"], row["lambda"], row["seed"]): row
            for row in trials(folder / f"precision-{kind}")
        }
        for kind in ("float32", "tf32")
    )
    cells = {}
    for key in exact.keys() & rounded.keys():
        pair = [100 * float(rows[key]["final_test_accuracy"] or "nan") for rows in (exact, rounded)]
        cells.setdefault(key[:2], []).append(pair)
    results = []
    for (architecture, norm), pairs in sorted(cells.items()):
        differences = [tf32 - float32 for float32, tf32 in pairs]
        count, means = len(pairs), [statistics.mean(column) for column in zip(*pairs)]
        half = (
            T[min(count - 1, 10)] * statistics.stdev(differences) / math.sqrt(count)
            if count > 1
            else math.inf
        )
        difference = statistics.mean(differences)
        say(
            f"{architecture}, lambda {norm}: {means[0]:.2f} % float32, {means[1]:.2f} % tf32, "
            f"difference {difference:+.2f} +- {half:.2f} ({count} seeds)"
        )
        results.append(
            {
                "architecture": architecture,
                "lambda": norm,
                "seeds": count,
                "float32": means[0],
                "tf32": means[1],
                "difference": difference,
                "confidence_95": half if count > 1 else None,
            }
        )
    return results


def formulations(result, say):
    for row in result["results"]:
        times = {name: time for name, time in row["milliseconds"].items() if time is not None}
        fastest = min(times, key=times.get)
        say(
            f"{row['layer']}, {row['lanes']} lanes: {fastest} {times[fastest]:.3f} ms, "
            f"unfold {times.get('unfold', math.nan):.3f} ms"
        )


def main(folder):
    lines = []
    report = {"machine": read_json(folder / "machine.json")}

    def section(name, content, work):
        lines.append(f"\n{name}")
        if content:
            report[name] = work(content, lambda text: lines.append("  " + text))
        else:
            lines.append("  not measured")

    for key, value in (report["machine"] or {}).items():
        lines.append(f"{key}: {value}")
    section("lanes", read_lines(folder / "lanes.jsonl"), lanes)
    section("sweeps", folder, sweeps)
    section(
        "pytorch_160_trials_seconds",
        (read_json(folder / "pytorch.json") or {}).get("iterations_per_second"),
        pytorch,
    )
    section("precision", folder, precision)
    section("formulations", read_json(folder / "formulations.json"), formulations)
    report["pytorch"], report["formulations"] = (
        read_json(folder / "pytorch.json"),
        read_json(folder / "formulations.json"),
    )
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    text = "\n".join(lines) + "\n"
    (folder / "report.txt").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
