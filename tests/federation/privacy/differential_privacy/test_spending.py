"""The spending of a site: per person, over experiments and restarts, one release per round, never cut unseen."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of, least_noise
from fedtune3d.federation.privacy.differential_privacy.spending import (
    Budget,
    Spending,
    Spent,
    most_spent,
    read_spending,
)
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.training.private import SampledGaussian

DELTA = 1e-3
PEOPLE = ("p1", "p2", "p3")
ROUND = SampledGaussian(least_noise(3.0, DELTA, 1.0, 2), 1.0, 1)
"""Two rounds of it are ε = 3."""


def spending(folder: Path, experiment: str = "first", max_epsilon: float | None = None) -> Spending:
    """As after a restart: nothing is remembered but what is on disk."""
    privacy = DifferentialPrivacy(3.0, DELTA, 1.0, "full_batch")
    return Spending(folder / "privacy.jsonl", "A", experiment, privacy, Budget(max_epsilon, DELTA))


def test_an_experiment_ends_where_its_epsilon_is_spent(tmp_path: Path) -> None:
    for round_ in (1, 2):
        assert spending(tmp_path).charge(round_, f"r{round_}", ROUND, PEOPLE) == ROUND
    once, twice = (epsilon_of({ROUND: count}, DELTA) for count in (1, 2))
    assert spending(tmp_path).spent() == Spent(twice, ROUND.noise_multiplier, 1.0)
    assert once < 2.2 < 2.99 < twice <= 3.0
    with pytest.raises(Refusal, match=r"^privacy.epsilon: 3 is spent at site A$"):
        spending(tmp_path).charge(3, "r3", ROUND, PEOPLE)
    assert len(list(read_spending(tmp_path / "privacy.jsonl"))) == 2


def test_a_round_is_charged_once_and_has_one_release(tmp_path: Path) -> None:
    """Also where the mechanism has changed in between, as after a withdrawal: what was charged is what is drawn."""
    other = SampledGaussian(ROUND.noise_multiplier / 2, 1.0, 1)
    for mechanism in (ROUND, other):
        assert spending(tmp_path).charge(1, "r1", mechanism, PEOPLE) == ROUND
    assert spending(tmp_path).spent().epsilon == epsilon_of({ROUND: 1}, DELTA)
    with pytest.raises(Refusal, match="site A has trained in round 1 already, and another answer would tell more"):
        spending(tmp_path).charge(1, "crafted", ROUND, PEOPLE)


def test_nobody_is_in_a_release_that_was_not_charged_to_them(tmp_path: Path) -> None:
    """People who were added after the charge, and approved, before anything was drawn."""
    spending(tmp_path).charge(1, "r1", ROUND, PEOPLE)
    assert spending(tmp_path).charge(1, "r1", ROUND, PEOPLE[:2]) == ROUND  # who withdrew may be left out
    with pytest.raises(Refusal, match="round 1 was not charged to all people now in training at site A"):
        spending(tmp_path).charge(1, "r1", ROUND, (*PEOPLE, "p4"))
    assert spending(tmp_path).people_of(1, "r1") == frozenset(PEOPLE)


def test_the_sites_budget_is_of_each_person_over_all_experiments(tmp_path: Path) -> None:
    for round_ in (1, 2):
        spending(tmp_path).charge(round_, "r", ROUND, PEOPLE)
    with pytest.raises(
        Refusal,
        match=r"^policy.max_epsilon of site A is 3.5, of which 3 is spent on the same people; another round would make "
        r"it 3.8\d$",
    ):
        spending(tmp_path, "second", 3.5).charge(1, "r", ROUND, ("p3", "p4"))
    spending(tmp_path, "second", 3.5).charge(1, "r", ROUND, ("p4", "p5"))  # nobody of the first
    spending(tmp_path, "third", 4.5).charge(1, "r", ROUND, ("p3", "p4"))
    lines = list(read_spending(tmp_path / "privacy.jsonl"))
    spent = {person: most_spent(lines, [person], DELTA) for person in (*PEOPLE, "p4", "p5", "p6")}
    of_rounds = [epsilon_of({ROUND: count}, DELTA) for count in range(4)]
    assert list(spent.values()) == [of_rounds[2], of_rounds[2], of_rounds[3], of_rounds[2], of_rounds[1], 0.0]
    assert most_spent(lines, PEOPLE, DELTA) == of_rounds[3]
    assert most_spent(lines, [], DELTA) == 0.0


def test_kept_is_noted_once_and_only_of_what_was_charged(tmp_path: Path) -> None:
    spending(tmp_path).charge(1, "r1", ROUND, PEOPLE)
    assert not spending(tmp_path).is_kept(1, "r1")
    for _ in range(2):
        spending(tmp_path).note_kept(1, "r1")
    assert spending(tmp_path).is_kept(1, "r1")
    assert [line.what for line in read_spending(tmp_path / "privacy.jsonl")] == ["charged", "kept"]
    assert not spending(tmp_path, "second").is_kept(1, "r1")
    with pytest.raises(ValueError):
        spending(tmp_path).note_kept(2, "r2")


def test_before_the_first_charge_nothing_can_be_reported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was charged for first"):
        spending(tmp_path).spent()


def test_lines_that_were_cut_or_edited_are_noticed(tmp_path: Path) -> None:
    for round_ in (1, 2):
        spending(tmp_path).charge(round_, "r", ROUND, PEOPLE)
    path = tmp_path / "privacy.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace('"p1"', '"p9"', 1))
    with pytest.raises(DamagedFileError, match="is damaged in line 1"):
        spending(tmp_path).spent()
    path.write_text(whole.splitlines()[0] + "\n")
    with pytest.raises(DamagedFileError, match="has lost lines"):
        spending(tmp_path).charge(3, "r", ROUND, PEOPLE)
