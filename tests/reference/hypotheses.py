"""Computes paired tests, intervals, effect sizes and corrected p-values by scipy and statsmodels.

The tests of the coordinator's report compare with them.

python hypotheses.py > statistics.json            # make the cases and their numbers
python hypotheses.py --check statistics.json      # compare with existing numbers
"""

import argparse
import json
import math
import sys
import warnings

import numpy as np
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

IMAGES = 10_000  # accuracies are shares of so many


def shares(counts):
    return [None if count is None else count / IMAGES for count in counts]


def made_up_cases():
    """Makes up accuracies of two cells by seed; None means no result."""
    random = np.random.default_rng(20261126)
    draw = lambda n, mean, spread: [int(count) for count in np.rint(random.normal(mean, spread, n))]
    for n in [2, 3, 4, 5, 8, 10, 13, 17, 20, 25]:
        reference = draw(n, 8800, 90)
        # No two gains have the same size, and none is zero.
        gains = list({abs(gain): gain for gain in draw(4 * n, 40, 60) if gain != 0}.values())[:n]
        yield f"{n} seeds", [a + d for a, d in zip(reference, gains)], reference
    reference = draw(10, 8800, 90)
    with_gains = lambda gains: [a + d for a, d in zip(reference, gains)]
    yield (
        "a gain beyond doubt",
        with_gains([211, 212, 210, 213, 214, 209, 211, 215, 208, 212]),
        reference,
    )
    yield "a loss", with_gains([-40, -52, -3, -61, -70, -22, -35, 4, -48, -19]), reference
    yield "ties in size", with_gains([10, -10, 20, 20, 20, -30, 40, 50, 50, 60]), reference
    yield "zeros", with_gains([0, 0, 31, 12, -8, 44, 25, 0, 17, 3]), reference
    yield "ties and zeros", with_gains([0, 5, 5, -5, 10, 10, 0, -20, 30, 30]), reference
    yield "all equal", with_gains([25] * 10), reference
    yield "all zero", reference, reference
    yield "one seed", [8850], [8800]
    yield "no seed", [], []
    yield "no result", [None, 8850, None], [8800, None, None]
    yield "one pair of three", [None, 8850, 8860], [8800, 8790, None]
    yield (
        "missing seeds",
        [8850, None, 8871, 8902, 8823, 8899, None],
        [8800, 8810, 8859, None, 8815, 8870, None],
    )
    reference = draw(15, 8800, 90)
    gains = [0, 0, 10, 10, 10, -10, -20, 20, 30, 40, -40, 50, 60, 70, 80]
    yield "15 seeds with ties and zeros", [a + d for a, d in zip(reference, gains)], reference
    reference = draw(60, 8800, 90)
    gains = draw(60, 10, 60)
    yield "60 seeds", [a + d for a, d in zip(reference, gains)], reference


def known(value):
    return float(value) if math.isfinite(value) else None


def wilcoxon(differences):
    """Tests as scipy chooses. With ties or zeros, it also tries all assignments of signs beyond 13
    differences.
    """
    nonzero = differences[differences != 0]
    if len(differences) < 2 or len(nonzero) == 0:
        return None, None
    tied = len(np.unique(np.abs(nonzero))) < len(differences)
    if len(nonzero) > 50:
        return float(stats.wilcoxon(differences).pvalue), "normal-approximation"
    method = (
        stats.PermutationMethod(n_resamples=2 ** len(differences), batch=2**14) if tied else "exact"
    )
    return float(stats.wilcoxon(differences, method=method).pvalue), "exact"


def expected(cell, reference):
    pairs = [(a, b) for a, b in zip(cell, reference) if a is not None and b is not None]
    missing = [seed for seed, (a, b) in enumerate(zip(cell, reference)) if a is None or b is None]
    # Rounding removes the rest of float subtraction, which would break ties.
    differences = np.round([a - b for a, b in pairs], 12)
    n = len(differences)
    spread = n > 1 and len(set(differences)) > 1
    values = {
        "n": n,
        "missing_seeds": missing,
        "mean": float(np.mean(differences)) if n else None,
        "wins": int(np.sum(differences > 0)) if n else 0,
        "ties": int(np.sum(differences == 0)) if n else 0,
        "losses": int(np.sum(differences < 0)) if n else 0,
    }
    deviation = float(np.std(differences, ddof=1)) if spread else None
    freedom = n - 1
    values["standard_deviation"] = deviation if n != 1 else None
    if n > 1 and not spread:
        values["standard_deviation"] = 0.0
    values["confidence_95"] = (
        float(stats.t.ppf(0.975, freedom) * stats.sem(differences)) if spread else None
    )
    values["t_p"] = known(stats.ttest_1samp(differences, 0).pvalue) if spread else None
    values["wilcoxon_p"], values["wilcoxon_method"] = wilcoxon(differences)
    d = values["mean"] / deviation if spread else None
    values["cohens_d"] = d
    factor = (
        math.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2))
        / math.sqrt(freedom / 2)
        if freedom > 1
        else None
    )
    values["hedges_g"] = d * factor if spread and factor is not None else None
    # The bounds are like those of claims.
    bounds = [-0.005, 0.001, 0.02]
    values["bounds"] = [
        [bound, known(stats.ttest_1samp(differences, bound).pvalue) if spread else None]
        for bound in bounds
    ]
    return values


def families():
    random = np.random.default_rng(7)
    yield []
    yield [0.03]
    yield [0.01, 0.04, 0.03, 0.005]
    yield [0.02, None, 0.02, 0.02, None, 0.9]
    yield [1.0, 0.6, 0.7]
    yield [float(p) for p in random.uniform(0, 0.2, 25)]


def corrected(family):
    there = [p for p in family if p is not None]
    values = iter(multipletests(there, method="holm")[1]) if there else iter([])
    return [None if p is None else float(next(values)) for p in family]


def make():
    cases = []
    for name, cell, reference in made_up_cases():
        cell, reference = shares(cell), shares(reference)
        cases.append(
            {
                "name": name,
                "cell": cell,
                "reference": reference,
                "expected": expected(cell, reference),
            }
        )
    return {
        "cases": cases,
        "families": [{"p": family, "holm": corrected(family)} for family in families()],
    }


def same(made, there):
    if isinstance(made, dict):
        return made.keys() == there.keys() and all(same(made[key], there[key]) for key in made)
    if isinstance(made, list):
        return len(made) == len(there) and all(map(same, made, there))
    if isinstance(made, float) and isinstance(there, float):
        return math.isclose(made, there, rel_tol=1e-9, abs_tol=1e-15)
    return made == there


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    made = make()
    if not arguments.check:
        json.dump(made, sys.stdout, indent=1)
        print()
    elif same(made, json.load(open(arguments.check))):
        print(f"{arguments.check}: {len(made['cases'])} cases agree")
    else:
        sys.exit(f"{arguments.check} has other numbers")
