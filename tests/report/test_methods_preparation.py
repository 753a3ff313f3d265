"""What was done to the scans: all of it, some of it, or nothing, where that is known."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d.report.methods import experiment_of
from fedtune3d.report.methods_preparation import preparation_sentences
from fedtune3d.report.references import Citations, NoCitations
from fedtune3d.report.run_contents import RunContents, read_run


@pytest.fixture
def contents(make_run: Callable[..., Path]) -> RunContents:
    return read_run(make_run())


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            {"scans": 9, "brain": 4, "bias": 4},
            "Heads with their skull underwent brain extraction and correction of the bias field; brains that had been "
            "extracted before kept their space.",
        ),
        ({"scans": 9, "brain": 9}, "Scans underwent brain extraction."),
        (
            {"scans": 9},
            "Scans were brain-extracted beforehand and kept their space; brain extraction, correction of the bias "
            "field and affine registration to MNI152 were not applied.",
        ),
    ],
)
def test_what_was_done_is_written_and_nothing_else(
    contents: RunContents, steps: Mapping[str, int], sentence: str
) -> None:
    known = replace(contents, steps=dict.fromkeys(contents.sites, steps))
    experiment = experiment_of(contents)
    assert experiment is not None
    assert next(preparation_sentences(known, experiment, NoCitations())) == sentence


def test_a_step_that_was_not_applied_is_not_cited(contents: RunContents) -> None:
    experiment = experiment_of(contents)
    assert experiment is not None
    cite = Citations()
    extracted = replace(contents, steps={site: {"scans": 9} for site in contents.sites})
    assert "MNI152 were not applied" in next(preparation_sentences(extracted, experiment, cite))
    assert not cite.cited
    applied = replace(contents, steps={site: {"scans": 9, "bias": 9} for site in contents.sites})
    assert next(preparation_sentences(applied, experiment, cite)) == "Scans underwent correction of the bias field [1]."


def test_where_a_site_does_not_say_it_is_what_the_settings_do(contents: RunContents) -> None:
    first, *others = contents.sites
    partly = replace(contents, steps={site: {"scans": 9} for site in others} | {first: None})
    assert partly.applied_steps is None
    experiment = experiment_of(contents)
    assert experiment is not None
    text = next(preparation_sentences(partly, experiment, NoCitations()))
    assert text.startswith(
        "Heads with their skull underwent brain extraction, correction of the bias field and affine "
    )
