from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedtune3d.cohorts.flow import EVERY_CLASS_HELD_BACK, ByClass, Counts
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.attendance import Absence
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.workflows.missing_statistics import people_needed, why_no_statistics


@pytest.fixture
def run(small_run: Any) -> RunContents:
    return read_run(small_run.path)


def with_training(run: RunContents, **splits: ByClass) -> RunContents:
    flows = {site: replace(flow, splits=flow.splits | {"train": splits[site]}) for site, flow in run.flows.items()}
    return replace(run, flows=flows)


def test_what_it_takes_and_what_each_site_had_are_given(run: RunContents, tmp_path: Path) -> None:
    few = ByClass((Counts(4, 5), Counts(3, 3)))
    contents = with_training(run, A=few, B=EVERY_CLASS_HELD_BACK)
    experiment = Experiment.model_validate(run.config)
    assert why_no_statistics(contents, experiment) == (
        "no site sent the mean of its features, which takes at least 8 training scans and 5 people of each class in "
        "training (policy.min_per_class); in training were: A 3 AD, 4 CN (8 scans), B a number that the site holds back"
    )
    absence = Absence("B", "describe features", "no answer")
    assert why_no_statistics(replace(contents, absences=(absence,)), experiment).endswith("; B: no answer")
    elsewhere = replace(contents, path=tmp_path, flows={})
    assert why_no_statistics(elsewhere, experiment).endswith(
        "(policy.min_per_class; a site's own policy may ask for more)"
    )


def test_of_a_number_people_are_counted_together(run: RunContents) -> None:
    target = {"column": "age", "range": [40, 100], "unit": "years", "missing": "leave_out"}
    sites = [{"name": "A", "root": "A", "policy": {"min_people": 4}}, {"name": "B", "root": "B"}]
    experiment = Experiment.model_validate({"name": "x", "sites": sites, "target": target})
    assert [people_needed(site, experiment.outcome) for site in experiment.sites] == [8, 5]
    few = ByClass((Counts(7, 7),))
    contents = with_training(replace(run, config=run.config | {"labels": None, "target": target}), A=few, B=few)
    assert why_no_statistics(contents, experiment) == (
        "no site sent the mean of its features, which takes at least 8 training scans and 5 to 8 people in training "
        "(policy.min_people and policy.min_per_class); in training were: A 7 people (7 scans), B 7 people (7 scans)"
    )
