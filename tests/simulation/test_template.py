import numpy as np
import pytest

from fedtune3d.simulation.anatomy import CSF, GREY, THINNABLE, WHITE, Anatomy
from fedtune3d.simulation.template import (
    HIPPOCAMPUS_TUBES,
    VENTRICLE_TUBES,
    boundary_velocity,
    draw_region,
    squared_distance_to_segment,
)


def region(template: Anatomy, kind: str) -> np.ndarray:
    tubes, tissue = {"ventricles": (VENTRICLE_TUBES, CSF), "hippocampi": (HIPPOCAMPUS_TUBES, GREY)}[kind]
    inside = draw_region(tubes, template.tissues.shape[1:], template.affine)
    return inside & (template.tissues[tissue] > 127)


def millimetres(template: Anatomy, mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) * np.diag(template.affine)[:3] + template.affine[:3, 3]


def test_hippocampi_lie_where_the_aal_atlas_has_them(template: Anatomy) -> None:
    points = millimetres(template, region(template, "hippocampi"))
    for side, expected in ((-1, (-25, -21, -10)), (1, (29, -20, -10))):
        centroid = points[np.sign(points[:, 0]) == side].mean(axis=0)
        assert np.linalg.norm(centroid - expected) < 6


@pytest.mark.parametrize(("kind", "low_ml", "high_ml"), [("hippocampi", 7, 13), ("ventricles", 14, 25)])
def test_regions_have_the_volumes_of_the_template(template: Anatomy, kind: str, low_ml: float, high_ml: float) -> None:
    volume_ml = region(template, kind).sum() * 1.5**3 / 1000
    assert low_ml < volume_ml < high_ml


def test_tissue_fractions_sum_to_one_deep_in_the_brain_and_to_nothing_at_the_border(template: Anatomy) -> None:
    sums = template.tissues[[CSF, GREY, WHITE]].astype(int).sum(axis=0)
    assert sums.max() <= 257
    centre = tuple(np.rint(np.linalg.inv(template.affine) @ [20, -10, 30, 1])[:3].astype(int))
    assert sums[centre] >= 252
    assert sums[0].max() == sums[:, -1].max() == sums[:, :, 0].max() == 0
    assert (template.tissues[THINNABLE] <= template.tissues[GREY].astype(int) + 1).all()


def test_the_deep_nuclei_do_not_thin_but_the_cortex_does(template: Anatomy) -> None:
    def share(point: tuple[int, int, int]) -> float:
        x, y, z = np.rint(np.linalg.inv(template.affine) @ [*point, 1])[:3].astype(int)
        here = np.s_[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2]
        return float(template.tissues[THINNABLE][here].sum() / template.tissues[GREY][here].sum())

    assert share((27, 2, 2)) < 0.1  # putamen
    assert share((13, 14, 8)) < 0.2  # caudate
    cortex = template.tissues[GREY] > 127
    assert 0.1 < template.tissues[THINNABLE][cortex].sum() / template.tissues[GREY][cortex].sum() < 0.5


def test_distance_to_a_segment() -> None:
    zero = np.zeros(1, np.float32)
    for x, expected in ((-3.0, 9.0), (5.0, 16.0), (12.0, 4.0)):
        y = np.array([4.0 if x == 5.0 else 0.0], np.float32)
        got = squared_distance_to_segment(np.array([x], np.float32), y, zero, (0, 0, 0), (10, 0, 0))
        assert got[0] == pytest.approx(expected)


def test_boundary_velocity_points_outwards_at_about_one_millimetre() -> None:
    x, y, z = np.ogrid[:41, :41, :41]
    ball = (x - 20) ** 2 + (y - 20) ** 2 + (z - 20) ** 2 < 8**2
    velocity = boundary_velocity(ball, 10.0)
    assert velocity.shape == (3, 21, 21, 21)
    assert velocity[0, 14, 10, 10] == pytest.approx(1.0, abs=0.2)  # the boundary on the right
    assert velocity[0, 6, 10, 10] == pytest.approx(-1.0, abs=0.2)
    assert np.abs(velocity[:, 10, 10, 10]).max() < 0.1
    assert 0 < velocity[0, 19, 10, 10] < 0.6
