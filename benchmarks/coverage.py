"""How often the 95 % intervals of an AUC hold the true AUC, with many people and with few.

Scores are drawn from two normal distributions whose AUC is known, with one scan a person or several that share half
of their variance. The intervals are those that a report shows: the bootstrap by participant (Newcombe's method under 10
people a class), and DeLong's or, with several scans, Obuchowski's. A DeLong interval that is not defined, as at an AUC
of 1, counts as one that does not hold the truth.

    python benchmarks/coverage.py --json

Takes some 10 minutes on one core.
"""

import argparse
import itertools
import json
from typing import Any

import numpy as np
from scipy.stats import norm

from fedtune3d.evaluation import Predictions, delong_estimate
from fedtune3d.evaluation.auc import auc_estimate
from fedtune3d.evaluation.estimate import Estimate


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[7, 15, 100], help="people a class")
    parser.add_argument("--aucs", type=float, nargs="+", default=[0.70, 0.85])
    parser.add_argument("--scans", type=int, nargs="+", default=[1, 3], help="scans a person")
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    print(f"share of {options.draws} draws whose 95 % interval holds the true AUC (mean width)")
    print("people a class  scans each  true AUC  as reported      DeLong or Obuchowski")
    rows = []
    for people, scans, auc in itertools.product(options.people, options.scans, options.aucs):
        row = coverage(people, scans, auc, options.draws, options.seed)
        print(
            f"{people:>14}  {scans:>10}  {auc:>8.2f}  {row['reported']:.3f} ({row['reported_width']:.2f})     "
            f"{row['delong']:.3f} ({row['delong_width']:.2f})",
            flush=True,
        )
        rows.append(row)
    if options.json:
        print(json.dumps({"draws": options.draws, "seed": options.seed, "coverage": rows}))


def coverage(people: int, scans: int, auc: float, draws: int, seed: int) -> dict[str, Any]:
    """How often each kind of interval holds the truth, and its mean width."""
    rng = np.random.default_rng([seed, people, scans, round(100 * auc)])
    found: dict[str, list[Estimate]] = {"reported": [], "delong": []}
    for _ in range(draws):
        predictions = draw(rng, people, scans, auc)
        found["reported"].append(auc_estimate(predictions, rng))
        found["delong"].append(delong_estimate(predictions))
    row: dict[str, Any] = {"people": people, "scans": scans, "auc": auc}
    for name, estimates in found.items():
        intervals = [part.limits[1:] for part in estimates if part.limits is not None]
        row[name] = sum(low <= auc <= high for low, high in intervals) / draws  # type: ignore[operator]
        row[f"{name}_width"] = float(np.mean([high - low for low, high in intervals]))  # type: ignore[operator]
    return row


def draw(rng: np.random.Generator, people: int, scans: int, auc: float) -> Predictions:
    """So many people of either class; half of the variance of a score is the person's where they have several scans."""
    labels = np.repeat([0, 1], people * scans)
    shared = 0.5 if scans > 1 else 0.0
    own = np.repeat(rng.normal(0, np.sqrt(shared), 2 * people), scans)
    scores = labels * np.sqrt(2) * norm.ppf(auc) + own + rng.normal(0, np.sqrt(1 - shared), len(labels))
    names = np.repeat([f"{person:04d}" for person in range(2 * people)], scans)
    sessions = tuple(str(row % scans) for row in range(len(labels)))
    return Predictions(tuple(names), sessions, labels, norm.cdf(scores / 2))


if __name__ == "__main__":
    main()
