"""A format is one file, as docs/data.md says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts import formats
from fedtune3d.cohorts.formats import format_names, load_format, recognise
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import read_site

DOCUMENT = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
LABELS = LabelMapping(positive=("AD",), negative=("CN",))
TABLE = "participant_id\tdiagnosis\n01\tAD\n02\tCN\n"


def test_the_docs_list_every_format() -> None:
    assert tuple(sorted(re.findall(r"^\| `(\w+)` \| ", DOCUMENT, flags=re.MULTILINE)[1:])) == format_names()


def test_the_example_of_the_docs_is_a_format_by_being_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_site: Callable[..., Path]
) -> None:
    example = re.search(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    assert example is not None
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "one_folder_each.py").write_text(example[1], encoding="utf-8")
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "code")])
    site = empty_site(tmp_path / "site", TABLE, ["01/T1.nii.gz", "02/T1.nii.gz", "02/T2.nii.gz"])
    assert recognise(site) == "one_folder_each"
    cohort = read_site(site, "A", LABELS)
    assert [(record.participant_id, record.label, record.path.parent.name) for record in cohort.records] == [
        ("sub-01", 1, "01"),
        ("sub-02", 0, "02"),
    ]


def test_a_folder_that_two_formats_recognise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_site: Callable[..., Path]
) -> None:
    site = empty_site(tmp_path / "caps", TABLE, ["subjects/sub-01/ses-1/t1_linear/sub-01_ses-1_T1w.nii.gz"])
    assert recognise(site) == "caps"
    monkeypatch.setattr(load_format("derivatives"), "recognises", lambda root: True)
    with pytest.raises(InputError, match=r"expected one format, but it may be caps or derivatives; write one as"):
        recognise(site)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"format .*derivative.*derivatives.*docs/data.md says how to add one"):
        load_format("derivative")
