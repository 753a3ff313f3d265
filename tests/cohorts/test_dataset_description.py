"""What a folder says of itself."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.dataset_description import is_derivative, is_simulated, read_description


def describe(folder: Path, text: str) -> Path:
    (folder / "dataset_description.json").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_without_a_description_is_neither_simulated_nor_a_derivative(tmp_path: Path) -> None:
    assert read_description(tmp_path) == {}
    assert not is_simulated(tmp_path)
    assert not is_derivative(tmp_path)


@pytest.mark.parametrize(
    ("text", "simulated", "derivative"),
    [
        ('{"Simulated": true}', True, False),
        ('{"Simulated": "true"}', False, False),
        ('\ufeff{"DatasetType": "derivative"}', False, True),
        ('{"PipelineDescription": {"Name": "old"}}', False, True),
        ('{"DatasetType": "raw"}', False, False),
    ],
)
def test_what_the_description_says(tmp_path: Path, text: str, simulated: bool, derivative: bool) -> None:
    describe(tmp_path, text)
    assert (is_simulated(tmp_path), is_derivative(tmp_path)) == (simulated, derivative)


def test_a_table_has_the_description_of_its_folder(tmp_path: Path) -> None:
    describe(tmp_path, '{"Simulated": true}')
    (tmp_path / "scans.tsv").touch()
    assert is_simulated(tmp_path / "scans.tsv")


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_description_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"dataset_description\.json: expected a JSON object"):
        read_description(describe(tmp_path, text))
