"""The first screen of a cross-validation answers on whom, against what, what left, and what to do with a scan."""

from dataclasses import replace
from pathlib import Path

import pytest
from cross_validation_results import results_of

from fedtune3d.report.cross_validation_first_screen import cross_validation_first_screen
from fedtune3d.report.first_screen import run_setting
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def runs(finished_run: Path) -> dict[str, RunContents]:
    """The one drawn run as both folds."""
    return dict.fromkeys(("repeat1-fold1", "repeat1-fold2"), read_run(finished_run))


def test_it_answers_the_questions_of_a_clinician(runs: dict[str, RunContents]) -> None:
    results = results_of(2, 1)
    first = cross_validation_first_screen(results, runs)
    assert first.question == "AD vs CN from T1-weighted MRI"
    run = run_setting(runs["repeat1-fold1"])
    assert first.setting == " · ".join(["drawn", "2 folds", *run[1:]])
    facts = dict(first.facts)
    assert facts["Tested on"] == (
        "162 people (66 AD, 96 CN) at 2 sites, each once, by a model trained without them"  # 81 in each fold
    )
    local = results.methods["local"].mean.estimate
    assert facts["Baselines"].startswith(f"local AUC {local.value:.2f} (95% CI {local.low:.2f}–{local.high:.2f}). ")
    assert facts["Left the sites"].startswith("in each fold: each site's model update in 10 rounds (")
    assert "leaves no single model" in facts["A new scan"]


def test_people_are_counted_once_all_folds_of_a_repeat_are_finished(runs: dict[str, RunContents]) -> None:
    assert "Tested on" not in dict(cross_validation_first_screen(results_of(3, 1), runs).facts)
    begun = runs | {"repeat1-fold2": replace(runs["repeat1-fold2"], metrics=None)}
    assert "Tested on" not in dict(cross_validation_first_screen(results_of(2, 1), begun).facts)


def test_before_any_fold_it_has_the_name_alone() -> None:
    first = cross_validation_first_screen(replace(results_of(2, 1), methods={}), {})
    assert (first.question, first.setting, first.facts) == ("drawn", "2 folds · 2 sites", [])
