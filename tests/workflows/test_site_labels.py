"""The labels of sites whose columns differ: their own words, or a comment where `init` knows none."""

import yaml

from fedtune3d.workflows.outcome_lines import two_classes
from fedtune3d.workflows.site_labels import as_comments, labels_of


def test_a_site_gets_its_own_words_and_one_without_any_is_to_be_filled_in() -> None:
    outcome = two_classes(["AD", "Dementia"], ["CN"])
    sites = labels_of(outcome, ["diagnosis", "dx", "demented"], [{"AD": 1, "CN": 1}, {"Dementia": 2}, {"0": 2, "1": 3}])
    assert sites == [
        None,
        {"positive": "dx == Dementia", "negative": "dx == CN"},
        {
            "positive": "# fill in, such as demented == 1",
            "negative": "# fill in, such as demented == 0",
        },
    ]


def test_a_class_that_no_site_has_a_word_for_is_to_be_filled_in() -> None:
    outcome = two_classes([], ["CN"], unassigned=["FTD", "PD"])
    assert "positive: # fill in, such as [PD]\n" in outcome
    (own,) = labels_of(outcome, ["dx"], [{"CN": 1, "FTD": 2, "n/a": 1}])
    assert own == {"positive": "# fill in, such as dx == FTD", "negative": "dx == CN"}


def test_comments_are_written_without_quotes() -> None:
    text = yaml.safe_dump([{"labels": {"positive": "# fill in, such as '\"it''s\" == 1'", "negative": "a: b"}}])
    assert as_comments(text) == ("- labels:\n    negative: 'a: b'\n    positive: # fill in, such as '\"it''s\" == 1'\n")
