"""Groups that several sites share are split once, by all their scans."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.splitting import count_people, require_every_class, split_shared
from fedtune3d.federation.tasks.count_scans import ScanCounts


def experiment(seed: int) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x",
            "seed": seed,
            "sites": [{"name": "A", "root": Path("A")}, {"name": "B", "root": Path("B")}],
            "labels": {"positive": ["AD"], "negative": ["CN"]},
            "splits": {"train": 0.5, "validation": 0.25, "test": 0.25},
        }
    )


def test_a_group_of_two_sites_has_one_split_and_the_shares_hold() -> None:
    at_a = {f"group{number}": (1, 0) for number in range(8)}
    at_b = {f"group{number}": (2, 0) for number in range(4, 8)}
    splits = split_shared(experiment(0), [at_a, at_b])
    assert splits.keys() == at_a.keys()
    assert sorted(splits.values()) == ["test"] * 2 + ["train"] * 4 + ["validation"] * 2
    assert split_shared(experiment(0), [at_b, at_a]) == splits
    assert any(split_shared(experiment(seed), [at_a, at_b]) != splits for seed in range(1, 5))


def test_every_site_tests_both_classes_of_shared_groups() -> None:
    """Three of each class at A, and many more at B alone: without a look at the sites A often tests one class only."""
    at_a = {f"a{number}": ((1, 0) if number % 2 else (0, 1)) for number in range(6)}
    at_b = {f"b{number}": ((1, 0) if number % 2 else (0, 1)) for number in range(30)}
    for seed in range(5):
        splits = split_shared(experiment(seed), [at_a, at_b])
        for label in (0, 1):
            assert {splits[group] for group, counts in at_a.items() if counts[label]} == set(splits.values())


@pytest.mark.parametrize(("there", "missing"), [((False, True), "negative"), ((True, False), "positive")])
def test_both_classes_must_be_somewhere(there: tuple[bool, bool], missing: str) -> None:
    with pytest.raises(InputError, match=rf"labels\.{missing}: no one at any site is {missing}"):
        require_every_class(there, ("negative", "positive"))


def test_a_shared_group_counts_once() -> None:
    counts = {
        "A": ScanCounts(simulated=False, people=9, scans=9, own_groups=5, declared_groups={"x": (1, 0), "y": (0, 1)}),
        "B": ScanCounts(simulated=False, people=4, scans=4, own_groups=2, declared_groups={"y": (0, 2)}),
    }
    assert count_people(counts) == 5 + 2 + 2
