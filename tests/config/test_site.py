"""The section of a site."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fedtune3d.config.site import SiteSection


def test_relative_paths_count_from_the_folder_and_others_stay() -> None:
    site = SiteSection(name="A", root=Path("scans"), participants=Path("/elsewhere/people.tsv"))
    moved = site.with_paths_from(Path("/study"))
    assert (moved.root, moved.participants) == (Path("/study/scans"), Path("/elsewhere/people.tsv"))
    assert moved.fingerprint_key is None


@pytest.mark.parametrize("name", ["", "../A", "A B", "-A", "A" * 65])
def test_a_name_can_be_that_of_a_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        SiteSection(name=name)


def test_an_unknown_format_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="unknown name 'bidz', did you mean 'bids'"):
        SiteSection(name="A", format="bidz")
