from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.sealed import write_sealed_text
from fedtune3d.federation.site.predictions_table import read_predictions, write_predictions

SPLITS = """participant_id\tsession_id\tgroup_id\tlabel\tsplit
sub-1\tses-1\tsub-1\t0\ttest
sub-1\tses-2\tsub-1\t0\ttest
sub-2\tn/a\ttwins\t1\ttest
sub-3\tn/a\ttwins\t1\ttest
sub-4\tn/a\tsub-4\t1\ttrain
"""
ROWS = [
    ("sub-1", "ses-1", "test", 0, 0.1),
    ("sub-1", "ses-2", "test", 0, 0.1 + 0.2),
    ("sub-2", "", "test", 1, 0.5),
    ("sub-3", "", "test", 1, 0.7),
    ("sub-4", "", "train", 1, 0.9),
]


def test_reading_gives_the_same_bits_by_group(tmp_path: Path) -> None:
    write_sealed_text(tmp_path / "splits.tsv", SPLITS)
    write_predictions(tmp_path / "predictions-local.tsv", ROWS)
    got = read_predictions(tmp_path, "local")
    assert got.participants == ("sub-1", "sub-1", "twins", "twins")
    assert got.sessions == ("sub-1_ses-1", "sub-1_ses-2", "sub-2", "sub-3")
    assert (got.labels.tolist(), got.probabilities.tolist()) == ([0, 0, 1, 1], [0.1, 0.1 + 0.2, 0.5, 0.7])
    assert read_predictions(tmp_path, "local", "train").participants == ("sub-4",)


def test_a_table_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_sealed_text(tmp_path / "splits.tsv", SPLITS)
    with pytest.raises(InputError, match=r"predictions.tsv: expected the table of a completed run"):
        read_predictions(tmp_path)
    write_predictions(tmp_path / "predictions.tsv", [("sub-9", "", "test", 0, 0.1)])
    with pytest.raises(InputError, match=r"predictions.tsv: expected a row per scan of splits.tsv; \('sub-9', ''\)"):
        read_predictions(tmp_path)
    write_sealed_text(tmp_path / "predictions.tsv", "participant\tprobability\n")
    with pytest.raises(InputError, match=r"predictions.tsv: expected the columns participant, session"):
        read_predictions(tmp_path)
