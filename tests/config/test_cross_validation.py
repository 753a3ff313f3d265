"""The section `validation`: what it accepts, and what is the same in all folds."""

from pathlib import Path

import pytest
from small_files import problems, write_small

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folds import Fold
from fedtune3d.config.cross_validation import CrossValidation, require_one_run
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.config.study_axes import Draw


def test_without_the_section_an_experiment_is_what_it_was(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path))
    assert experiment.validation is None
    assert experiment.fold is None
    assert "validation" not in experiment.public()


def test_all_folds_have_the_same_splits_hash_and_another_hash(tmp_path: Path) -> None:
    whole = Experiment.from_yaml(write_small(tmp_path, validation={"folds": 3, "repeats": 2}))
    section = whole.validation
    assert section is not None
    folds = [whole.model_copy(update={"validation": section.of(fold)}) for fold in section.all_folds()]
    assert [fold.fold for fold in folds] == [Fold(repeat, number, 3) for repeat in (1, 2) for number in (1, 2, 3)]
    assert len({fold.splits_sha256() for fold in folds}) == 1
    assert len({fold.sha256() for fold in folds}) == 6
    more = Experiment.from_yaml(write_small(tmp_path, validation={"folds": 3, "repeats": 9})).validation
    assert more is not None
    assert more.of(Fold(1, 1, 3)) == section.of(Fold(1, 1, 3))  # repeats can be added
    for fold in folds:
        assert Experiment.model_validate(fold.public()).sha256() == fold.sha256()  # as a hospital reads it


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"folds": 1}, "validation.folds: expected at least 2, got 1"),
        ({"folds": True}, "validation.folds: expected a number, got true"),
        ({"repeats": 2}, "validation.folds: missing, but required"),
        ({"folds": 3, "only": {"repeat": 1, "fold": 4}}, "only.fold: expected at most 3, the number of folds, got 4"),
        ({"folds": 3, "repeat": 2}, "validation.repeat: unknown key, did you mean 'repeats'?"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, section: dict, said: str) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, validation=section))
    assert said in line


def test_differential_privacy_is_refused(tmp_path: Path) -> None:
    private = {"privacy": {"epsilon": 3.0}, "training": {"class_weighted": False}}
    (line,) = problems(Experiment, write_small(tmp_path, validation={"folds": 3}, **private))
    assert "validation: every fold would spend privacy.epsilon of the same people; remove one" in line


def test_one_run_is_of_one_fold() -> None:
    require_one_run(None)
    require_one_run(CrossValidation.model_validate({"folds": 4, "only": {"repeat": 1, "fold": 2}}))
    with pytest.raises(InputError, match="across hospitals each is an experiment of its own") as caught:
        require_one_run(CrossValidation(folds=4))
    assert len(str(caught.value).splitlines()) == 1


def test_a_study_has_a_trial_per_fold_and_seed(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, heads=["linear"], seeds=[0, 1], validation={"folds": 3}))
    assert study.draws == tuple(Draw(seed, Fold(1, number, 3)) for seed in (0, 1) for number in (1, 2, 3))
    (combination,) = study.heads_stage()
    last = study.experiment(combination, study.draws[-1])
    assert (last.name, last.seed, last.fold) == ("linear-frozen-fedavg-seed1-repeat1-fold3", 1, Fold(1, 3, 3))
    assert last.output.name == last.name
    assert Study.from_yaml(write_small(tmp_path, heads=["linear"], seeds=[0, 1])).draws == (Draw(0), Draw(1))
