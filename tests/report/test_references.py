import re

import pytest

from fedtune3d.aggregation.registry import rules
from fedtune3d.models.encoders import encoder_names
from fedtune3d.report.references import OF_ENCODER, OF_RULE, REFERENCES, Citations, NoCitations

WITHOUT_PAPER = {"simpleavg", "ncc"}


def test_references_are_numbered_in_the_order_of_their_first_citation() -> None:
    cite = Citations()
    assert cite("holm") == " [1]"
    assert cite("delong", "holm", None) == " [2, 1]"
    assert cite(None) == ""
    assert cite.cited == (REFERENCES["holm"], REFERENCES["delong"])
    with pytest.raises(KeyError, match="nobody"):
        cite("nobody")


def test_without_a_list_of_references_nothing_is_numbered() -> None:
    cite = NoCitations()
    assert cite("holm") == ""
    assert cite.cited == ()


def test_every_rule_and_encoder_of_the_package_has_its_paper() -> None:
    assert OF_RULE.keys() == rules().keys() - WITHOUT_PAPER
    assert set(encoder_names()) <= OF_ENCODER.keys()
    assert {*OF_RULE.values(), *OF_ENCODER.values()} <= REFERENCES.keys()


def test_every_reference_can_be_found() -> None:
    """A year, and a journal with volume and pages, an arXiv number, a DOI, or a publisher."""
    for text in REFERENCES.values():
        assert re.search(r"\b(19|20)\d\d\b", text), text
        assert re.search(r"\d+:\d+|arXiv:\d{4}\.\d{4,5}|doi:10\.|Press|Wadsworth", text), text
        assert text.endswith("."), text
