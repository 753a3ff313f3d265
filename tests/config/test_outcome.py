"""What the model predicts, in the YAML: two classes, more, or a number; and everything that is wrong with it."""

from pathlib import Path

import pytest
from small_files import problems, write_small

from fedtune3d.cohorts.inclusion import Included
from fedtune3d.cohorts.labels import ClassMapping
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.config.evaluation import EvaluationSection
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.explain import ExplainSection
from fedtune3d.config.handover import from_line, to_line
from fedtune3d.config.outcome import TargetSection, find_outcome_misfits
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome

AGE = {"column": "age", "range": [40, 100], "unit": "years", "missing": "leave_out"}
NAMED = {"healthy": ["CN"], "sick": ["AD"]}


def test_two_classes_keep_their_identity(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path))
    public = experiment.public()
    assert experiment.outcome == BINARY
    assert public["labels"] == {"positive": ["AD"], "negative": ["CN"]}
    assert "target" not in public


def test_classes_of_other_names_are_in_their_order(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path, labels=NAMED))
    assert experiment.outcome == ClassOutcome(("healthy", "sick"))
    assert experiment.public()["labels"] == [{"healthy": ["CN"]}, {"sick": ["AD"]}]
    assert Experiment.model_validate(experiment.public()).outcome == experiment.outcome
    other = Experiment.from_yaml(write_small(tmp_path, labels=[{"sick": ["AD"]}, {"healthy": ["CN"]}]))
    assert other.sha256() != experiment.sha256()
    listed = Experiment.from_yaml(write_small(tmp_path, labels=[{"healthy": ["CN"]}, {"sick": "cdr >= 1"}]))
    labels = listed.labels_of(listed.sites[0])
    assert isinstance(labels, ClassMapping)
    assert labels.definitions == {"healthy": ("CN",), "sick": "cdr >= 1"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": {"CN": ["CN"]}}, "labels: expected 2 to 20 classes, got CN"),
        ({"labels": {"CN": ["CN"], "AD": ["AD", "CN"]}}, "labels: CN is in both AD and CN"),
        ({"labels": {"CN": ["CN"], "AD": "cdr"}}, "labels.AD: label expression 'cdr'"),
        ({"labels": {"CN": ["CN"], "AD": 1}}, "labels.AD: expected a list of diagnoses"),
        ({"labels": {"positive": ["AD"], "CN": ["CN"]}}, "labels.CN: unknown key (known here: negative, positive)"),
        ({"labels": [{"CN": ["CN"], "AD": ["AD"]}]}, "labels: expected a name with its diagnoses in each entry"),
        ({"labels": [{"CN": ["CN"]}, {"CN": ["AD"]}]}, "labels: expected each class once"),
        ({"labels": 5}, "labels: expected keys and values, got 5"),
        ({"target": AGE}, "target and labels are both given"),
        ({"labels": None, "target": "age"}, "target: expected keys and values, got 'age'"),
        ({"labels": None, "target": AGE | {"missing": None}}, "target.missing: "),
        ({"labels": None, "target": AGE | {"range": [90, 40]}}, "range: expected the lower value first"),
        ({"labels": None, "target": AGE | {"units": "y"}}, "target.units: unknown key, did you mean 'unit'?"),
        (
            {"sites": [{"name": "A"}, {"name": "B", "labels": {"AD": ["AD"], "CN": ["CN"]}}], "labels": NAMED},
            "labels of site B: expected the classes healthy, sick as at site A, got AD, CN",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, changes: dict, line: str) -> None:
    found = problems(Experiment, write_small(tmp_path, **changes))
    assert any(line in problem for problem in found), found


def test_who_is_included_is_part_of_the_experiment(tmp_path: Path) -> None:
    """Of its splits, too. A site's own criterion takes the place of the experiment's. Without one, nothing changes."""
    plain = Experiment.from_yaml(write_small(tmp_path))
    assert "include" not in plain.public()
    assert not any("include" in site for site in plain.public()["sites"])
    sites = [{"name": "A", "root": "a", "include": "group == HC"}, {"name": "B", "root": "b"}]
    experiments = [
        plain,
        Experiment.from_yaml(write_small(tmp_path, include="age >= 60")),
        Experiment.from_yaml(write_small(tmp_path, include="age >= 60", sites=sites)),
    ]
    assert len({experiment.sha256() for experiment in experiments}) == 3
    assert len({experiment.splits_sha256() for experiment in experiments}) == 3
    own = experiments[-1]
    assert [own.criterion_of(site) for site in own.sites] == ["group == HC", "age >= 60"]
    assert isinstance(own.wanted_of(own.sites[0]), Included)
    assert Experiment.model_validate(own.public()).sha256() == own.sha256()
    for given, line in (
        ("age", "include: label expression 'age'"),
        (["CN"], "include: expected an expression such as"),
    ):
        found = problems(Experiment, write_small(tmp_path, include=given))
        assert any(line in problem for problem in found), found


def test_a_target_is_a_number_of_every_site() -> None:
    section = TargetSection.model_validate(AGE)
    assert section.outcome == NumberOutcome("age", 40, 100, "years", "leave_out", "mse")
    assert NumberColumn(section.outcome).columns == ("age",)


def test_what_makes_no_sense_for_an_outcome_is_named() -> None:
    three, age = ClassOutcome(("CN", "MCI", "AD")), TargetSection.model_validate(AGE).outcome
    plain, platt = EvaluationSection(), EvaluationSection(recalibration="platt", prevalences=(0.1,))
    assert find_outcome_misfits(BINARY, "ncc", platt, None) == []
    assert "head ncc finds the nearest class centre" in find_outcome_misfits(age, "ncc", plain, None)[0]
    texts = " ".join(find_outcome_misfits(three, "linear", platt, None))
    assert "evaluation.recalibration is for two classes, but the outcome is 3 classes" in texts
    assert "evaluation.prevalences" in texts
    assert find_outcome_misfits(age, "linear", plain, None) == []
    unknown = find_outcome_misfits(three, "linear", plain, ExplainSection(method="occlusion", of="PD"))[-1]
    assert unknown == "explain.of: expected one of CN, MCI, AD, got 'PD'"
    of_mci = find_outcome_misfits(three, "linear", plain, ExplainSection(method="occlusion", of="MCI"))
    assert not any("explain.of" in line for line in of_mci)


def test_the_processes_of_a_run_are_told_the_same(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path, labels=NAMED))
    assert from_line(to_line(experiment)) == experiment
