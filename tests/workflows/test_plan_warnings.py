from typing import Any

import pytest

from fedtune3d.config.experiment import Experiment
from fedtune3d.workflows.plan_warnings import SplitSize, plan_warnings, split_sizes_of


def experiment(**keys: Any) -> Experiment:
    values = {
        "name": "x",
        "sites": [{"name": name, "root": name} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
    }
    return Experiment.model_validate(values | keys)


def site(train: tuple[int, int], validation: tuple[int, int], test: tuple[int, int]) -> dict[str, SplitSize]:
    """A site with one scan per person; (negative, positive) people."""
    return {
        split: SplitSize(sum(people), people)
        for split, people in (("train", train), ("validation", validation), ("test", test))
    }


LARGE = site((40, 40), (10, 10), (20, 20))


def test_a_large_site_is_no_warning() -> None:
    assert plan_warnings(experiment(), {"A": LARGE}) == []


def test_a_site_of_six_scans_names_the_key_of_the_steps() -> None:
    sites = {"A": LARGE, "B": site((3, 3), (5, 5), (5, 5))}
    text, _ = plan_warnings(experiment(), sites)
    assert text.startswith("few optimiser steps per round, in batches of 8: B 1 (6 scans);")
    assert "set training.min_steps: 4" in text
    assert "few optimiser steps" not in " ".join(plan_warnings(experiment(training={"min_steps": 4}), sites))
    assert plan_warnings(experiment(training={"batch_size": 2}), sites)[0].count("B 3 (6 scans)") == 1


def test_sets_of_one_class_name_the_key_of_the_split() -> None:
    sites = {"A": site((30, 40), (5, 0), (0, 5)), "B": site((80, 0), (9, 9), (9, 9))}
    train, validation, test = plan_warnings(experiment(), sites)
    assert train.startswith("train set without a class: B (no AD): its updates pull the model towards one class;")
    assert validation.startswith("validation set without a class: A (no AD): it has no AUC by which")
    assert test.startswith("test set without a class: A (no CN): it has no test AUC; change splits.test")


def test_a_class_that_a_site_has_nowhere_is_one_warning_about_its_labels() -> None:
    [text] = plan_warnings(experiment(), {"A": LARGE, "B": site((0, 40), (0, 9), (0, 9))})
    assert text == (
        "site without a class: B (no CN): its updates pull the model towards one class, and it has no AUC; correct the "
        "site's labels, or exclude the site"
    )


@pytest.mark.parametrize(
    ("choice", "advice"),
    [
        ("highest_auc", "may then select a round by chance: leave it out, or raise splits.validation"),
        ("last", "are uncertain"),
    ],
)
def test_a_handful_of_validation_people_names_the_choice_of_the_round(choice: str, advice: str) -> None:
    [text] = plan_warnings(experiment(training={"best_round": choice}), {"A": site((40, 40), (2, 9), (9, 9))})
    assert text.startswith("fewer than 5 people of a class in validation: A (9 AD, 2 CN); ")
    assert advice in text


def test_several_classes_and_numbers_have_no_threshold_and_their_order() -> None:
    classes = experiment(labels=[{"CN": ["CN"]}, {"MCI": ["MCI"]}, {"AD": ["AD"]}])
    [text] = plan_warnings(classes, {"A": _site_of((40, 40, 40), (9, 2, 8), (9, 9, 9))})
    assert text.startswith("fewer than 5 people of a class in validation: A (9 CN, 2 MCI, 8 AD); scores there are ")
    number = experiment(labels=None, target={"column": "age", "range": [40, 100], "missing": "error"})
    [text] = plan_warnings(number, {"A": _site_of((60,), (3,), (9,))})
    assert text.startswith("fewer than 5 people in validation: A (3); scores there are uncertain")
    [text] = plan_warnings(number, {"A": _site_of((60,), (9,), (0,))})
    assert text.startswith("test set without anybody: A: it has no test error; change splits.test")


def _site_of(*people: tuple[int, ...]) -> dict[str, SplitSize]:
    return {split: SplitSize(sum(own), own) for split, own in zip(("train", "validation", "test"), people, strict=True)}


def test_what_is_computed_has_no_steps_and_no_rounds_to_choose() -> None:
    centre = experiment(model={"head": "ncc"}, aggregation={"rule": "ncc"}, training={"rounds": 1})
    assert plan_warnings(centre, {"A": site((3, 3), (2, 2), (2, 2))}) == []


def test_people_with_several_scans_count_once_per_class() -> None:
    """Somebody who converts between two sessions is in both classes."""
    splits = {"stable": "train", "converts": "train", "other": "test"}
    scans = [("stable", 0), ("stable", 0), ("converts", 0), ("converts", 1), ("other", 1)]
    assert split_sizes_of(splits, scans) == {
        "train": SplitSize(4, (2, 1)),
        "validation": SplitSize(0, (0, 0)),
        "test": SplitSize(1, (0, 1)),
    }


def test_a_site_too_small_to_be_compared_with_is_named_with_what_it_needs() -> None:
    steps = {"training": {"min_steps": 4}}
    sites = {"A": LARGE, "B": site((4, 30), (9, 9), (9, 9))}
    both = [{"name": name, "root": name} for name in "AB"]
    [text] = plan_warnings(experiment(sites=both, **steps), sites)
    assert text == (
        "too few people of each class in training (policy.min_per_class), or fewer than 8 scans: B (30 AD, 4 CN; "
        "34 scans; needs 5); predict cannot compare new scans with those of these sites"
    )
    both[1] |= {"policy": {"min_per_class": 4}}
    assert plan_warnings(experiment(sites=both, **steps), sites) == []
    [text] = plan_warnings(experiment(sites=both, **steps), {"A": site((3, 3), (9, 9), (9, 9))})
    assert "A (3 AD, 3 CN; 6 scans; needs 5)" in text
    whole = experiment(sites=both, model={"encoder": "resnet18"}, tuning={"method": "full"}, **steps)
    assert plan_warnings(whole, {"A": site((3, 3), (9, 9), (9, 9))}) == []
