"""What the temperature of Rate-My-LoRA's rating does: do equal sites keep their weight, does a failing one lose it?

    python benchmarks/rating_temperature.py [--json]

Four sites with equally many scans send the validation AUC of their trained state in each of 20 rounds. The scores of
validation people are normal; the distance of the classes grows from an AUC of 0.6 to 0.9; half of a score's variance
is the person's and stays over rounds. The sites are equally good, so each should keep a quarter of the weight. In the
last column one of them has an AUC of 0.5 from round 11 on. The ratings are those of `aggregation/rate_my_lora.py`.
"""

import argparse
import json
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import norm

from federations import auc
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.contract import Memory, Update
from fedtune3d.aggregation.rate_my_lora import RateMyLoRA
from fedtune3d.aggregation.site_scores import SENT_SCORE, SiteScore

SITES, ROUNDS = 4, 20
TEMPERATURES = (0.02, 0.1, 0.2, 0.5, 1.0)
PEOPLE = (3, 5, 10)
"""Validation people of each class."""


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--federations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    rows = []
    for people in PEOPLE:
        causes = ([options.seed, people, number] for number in range(options.federations))
        drawn = [validation_aucs(np.random.default_rng(cause), people) for cause in causes]
        for temperature in TEMPERATURES:
            row = measure(RateMyLoRA(temperature=temperature), drawn)
            rows.append({"people": people, "temperature": temperature, **row})
            print(
                f"{people} + {people} people, τ = {temperature}: weight under 1 % in {row['under_1']:.1%}, under half "
                f"the share in {row['under_half']:.1%} of rounds and sites; failing site {row['failing']:.3f}",
                flush=True,
            )
    if options.json:
        print(json.dumps({"federations": options.federations, "rows": rows}))


def measure(rule: RateMyLoRA, drawn: Sequence[np.ndarray]) -> dict[str, float]:
    """Shares of (round, site) with a weight under 1 % and under half of a quarter; mean weight of a failing site."""
    equal, failing = [], []
    for scores in drawn:
        equal.append(weights(rule, scores[:, :SITES]))
        failing.append(weights(rule, np.column_stack([scores[:, : SITES - 1], scores[:, SITES]]))[ROUNDS // 2 :, -1])
    shares = np.array(equal)
    return {
        "under_1": float((shares < 0.01).mean()),
        "under_half": float((shares < 0.5 / SITES).mean()),
        "failing": float(np.mean(failing)),
    }


def validation_aucs(rng: np.random.Generator, people: int) -> np.ndarray:
    """(rounds, sites + 1) AUCs of equally good sites, and of one that fails in the second half."""
    labels = np.repeat([0, 1], people)
    person = rng.normal(size=(SITES + 1, 2 * people)) * np.sqrt(0.5)
    found = np.empty((ROUNDS, SITES + 1))
    for round_, target in enumerate(np.linspace(0.6, 0.9, ROUNDS)):
        for site in range(SITES + 1):
            true = 0.5 if site == SITES and round_ >= ROUNDS // 2 else target
            scores = person[site] + rng.normal(size=2 * people) * np.sqrt(0.5) + labels * np.sqrt(2) * norm.ppf(true)
            found[round_, site] = auc(labels, scores)
    return found


def weights(rule: RateMyLoRA, scores: np.ndarray) -> np.ndarray:
    """(rounds, sites) the sites' shares of the sum."""
    memory, rows = Memory(), []
    state: State = {"w": torch.zeros(1)}
    for of_round in scores:
        result = rule.aggregate(state, updates(of_round, state), memory)
        memory = result.memory
        assert result.weights is not None
        rows.append([result.weights[site] for site in sorted(result.weights)])
    return np.array(rows)


def updates(scores: Sequence[float], state: State) -> list[Update]:
    """An update per site that changes nothing, with its score."""
    return [
        Update(f"site{number}", 20, lambda part: state, {SENT_SCORE: SiteScore(float(score), "auc", 10)})
        for number, score in enumerate(scores)
    ]


if __name__ == "__main__":
    main()
