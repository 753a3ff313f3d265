import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.simulation.anatomy import CSF, GREY, WHITE
from fedtune3d.simulation.label_maps import LabelMap, close_brain, list_label_maps, read_label_map


def test_tiny_maps_keep_their_tissue_volumes(tmp_path: Path, make_label_maps: Callable[..., Path]) -> None:
    people = list_label_maps(make_label_maps(tmp_path / "maps"))
    assert [person.diagnosis for person in people] == ["AD", "CN"] * 3
    impaired, control = (read_label_map(person) for person in people[:2])
    ball_ml = 4 / 3 * np.pi * np.array([15.0, 12.0, 6.0, 3.0]) ** 3 / 1000
    volumes = control.tissues[[CSF, GREY, WHITE]].sum(axis=(1, 2, 3)) / 255 * 1.5**3 / 1000
    assert volumes[1] == pytest.approx(ball_ml[0] - ball_ml[1], rel=0.05)
    assert volumes[2] == pytest.approx(ball_ml[1] - ball_ml[3], rel=0.05)
    extra_fluid = (impaired.tissues[CSF].sum() - control.tissues[CSF].sum(dtype=float)) / 255 * 1.5**3 / 1000
    assert extra_fluid == pytest.approx(ball_ml[2] - ball_ml[3], rel=0.05)


def test_closing_keeps_the_fluid_between_folds_and_drops_what_lies_outside() -> None:
    folds = np.zeros((40, 40, 40), bool)
    folds[8:32, 8:32, 8:32] = True
    folds[19:21, 8:20, 8:32] = False  # a sulcus of 2 mm, open at the surface
    closed = close_brain(folds, np.ones(3))
    assert closed[20, 14, 20]
    assert not closed[4].any()
    assert closed.sum() <= 1.02 * 24**3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "anatomies.tsv: expected a table"),
        ("anatomy_id\tage\nanatomy-0\t3\n", "expected the column diagnosis, found anatomy_id, age"),
        ("anatomy_id\tdiagnosis\nanatomy-0\tMCI\n", "diagnosis of 'anatomy-0': expected one of .*, got 'MCI'"),
        ("anatomy_id\tdiagnosis\nanatomy-9\tAD\n", "anatomy-9.nii.gz: expected the label map"),
        ("anatomy_id\tdiagnosis\nanatomy-0\tAD\nanatomy-0\tAD\n", "anatomy-0 occurs more than once"),
    ],
)
def test_bad_tables(tmp_path: Path, make_label_maps: Callable[..., Path], table: str | None, message: str) -> None:
    folder = make_label_maps(tmp_path / "maps", per_class=1)
    (folder / "anatomies.tsv").unlink()
    if table is not None:
        (folder / "anatomies.tsv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list_label_maps(folder)


def test_files_that_are_no_label_maps(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(InputError, match=r"a\.nii\.gz: expected a NIfTI label map, but it cannot be read"):
        read_label_map(LabelMap("a", "AD", path))
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), path)
    with pytest.raises(InputError, match=r"a\.nii\.gz: expected a 3D FreeSurfer label map"):
        read_label_map(LabelMap("a", "AD", path))


@pytest.mark.skipif("FEDTUNE3D_TEST_DATA" not in os.environ, reason="needs FEDTUNE3D_TEST_DATA")
def test_a_real_anatomy_has_its_volumes_and_orientation() -> None:
    people = list_label_maps(Path(os.environ["FEDTUNE3D_TEST_DATA"]) / "anatomies")
    assert [person.diagnosis for person in people].count("AD") == 5
    anatomy = read_label_map(people[0])
    volumes = anatomy.tissues[[CSF, GREY, WHITE]].sum(axis=(1, 2, 3)) / 255 * 1.5**3 / 1000
    assert 1000 < volumes.sum() < 1600
    assert volumes[1] > 450
    assert volumes[2] > 400
    assert volumes[0] > 80
    # The cerebellum is low and behind: the lowest fifth of the brain has its centre behind that of the highest.
    inside = np.argwhere(anatomy.tissues[[CSF, GREY, WHITE]].sum(axis=0) > 127)
    low, high = (inside[inside[:, 2] == np.quantile(inside[:, 2], q).round()] for q in (0.1, 0.9))
    assert low[:, 1].mean() < high[:, 1].mean()
