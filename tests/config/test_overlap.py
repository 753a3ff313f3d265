"""Sites whose people an encoder may have seen before: by the cohort that they name, or that their ids look like."""

from pathlib import Path

import pytest
from small_files import SMALL, write_small

from fedtune3d.config.experiment import Experiment


def experiment_with(folder: Path, model: dict[str, str], cohort: str | None = None) -> Experiment:
    sites = [{**SMALL["sites"][0], "cohort": cohort}, SMALL["sites"][1]]  # type: ignore[index]
    return Experiment.from_yaml(write_small(folder, model={"head": "linear", **model}, sites=sites))


@pytest.mark.parametrize(
    ("cohort", "weights", "warned"), [("openneuro", "packaged", 1), ("ADNI", "packaged", 0), ("OpenNeuro", "random", 0)]
)
def test_a_site_whose_cohort_the_encoder_has_seen_is_warned_of(
    tmp_path: Path, cohort: str, weights: str, warned: int
) -> None:
    warnings = experiment_with(tmp_path, {"encoder": "deepbet", "weights": weights}, cohort).warnings
    assert [warning.partition(",")[0] for warning in warnings] == [
        f"site A: encoder deepbet was pre-trained on scans of {cohort}"
    ] * warned


def test_where_the_cohorts_of_an_encoder_are_not_known_that_is_the_warning(tmp_path: Path) -> None:
    """SAM-Med3D's list of cohorts is not in its specification: nobody is told that ADNI is not among them."""
    (warning,) = experiment_with(tmp_path, {"encoder": "vit_b", "weights": "turbo.pth"}, "ADNI").warnings
    assert warning.startswith("site A: it is not known whether encoder vit_b was pre-trained on scans of ADNI; if so")
    assert experiment_with(tmp_path, {"encoder": "vit_b", "weights": "random"}, "ADNI").warnings == []


def test_ids_warn_where_no_cohort_is_named(tmp_path: Path) -> None:
    recognised = {"A": ("OASIS",), "B": ("OASIS",)}
    named = experiment_with(tmp_path, {"encoder": "vit_b", "weights": "turbo.pth"}, "OASIS-3")
    assert [warning.partition(":")[0] for warning in named.warnings] == ["site A"]
    (warning,) = named.overlaps(recognised)
    assert warning.startswith(
        "site B: it is not known whether encoder vit_b was pre-trained on scans of OASIS, whose ids"
    )
    assert experiment_with(tmp_path, {"encoder": "deepbet"}).overlaps(recognised) == []
    assert experiment_with(tmp_path, {"encoder": "vit_b"}).overlaps(recognised) == []
