"""Anatomies for the tests: the template, and tiny made-up label maps."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.simulation.anatomy import Anatomy
from fedtune3d.simulation.template import template_anatomy


@pytest.fixture(scope="session")
def template() -> Anatomy:
    return template_anatomy()


def draw_tiny_brain(ventricle_radius: float) -> np.ndarray:
    """Labels (44, 48, 40), RAS: a ball with cortex, white matter and ventricle, left and right, in fluid and skull."""
    x, y, z = np.ogrid[:44, :48, :40]
    radius = np.sqrt((x - 21.5) ** 2 + (y - 23.5) ** 2 + (z - 19.5) ** 2)
    labels = np.zeros((44, 48, 40), np.int32)
    for label, outer in ((507, 19.5), (24, 17.0), (3, 15.0), (2, 12.0), (4, ventricle_radius)):
        labels[radius < outer] = label
    right = np.broadcast_to(x >= 22, labels.shape)
    for left_label, right_label in ((2, 41), (3, 42), (4, 43)):
        labels[right & (labels == left_label)] = right_label
    return labels


@pytest.fixture(scope="session")
def make_label_maps() -> Callable[..., Path]:
    def make(folder: Path, per_class: int = 3) -> Path:
        folder.mkdir(parents=True)
        rows = ["anatomy_id\tdiagnosis"]
        for number in range(2 * per_class):
            impaired = number % 2 == 0
            image = nib.Nifti1Image(draw_tiny_brain(6.0 if impaired else 3.0), np.diag([-1.0, 1.0, 1.0, 1.0]))
            image.header.set_data_dtype(np.int32)
            nib.save(image, folder / f"anatomy-{number}.nii.gz")
            rows.append(f"anatomy-{number}\t{'impaired' if impaired else 'control'}")
        (folder / "anatomies.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return folder

    return make
