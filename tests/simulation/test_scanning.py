from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.simulation.anatomy import CSF, GREY, Anatomy
from fedtune3d.simulation.people import Person
from fedtune3d.simulation.scanning import (
    add_rician_noise,
    average_slabs,
    bias_field,
    field_of_view,
    make_scan,
    person_displacement,
    sample_tissues,
    thin_cortex,
)
from fedtune3d.simulation.site_effects import SiteEffect
from fedtune3d.simulation.template import HIPPOCAMPUS_TUBES, VENTRICLE_TUBES, draw_region

HEALTHY = Person("CN", 70.0, "F", (0.92, 0.92, 0.92), 0.0, 0.0, 0.0)
SITE = SiteEffect(0.5, 72.0, 800.0, 0.66, 0.22, 0.1, 0.03, 2.0, 4.0, 2, "LPS", "int16")


@pytest.fixture(scope="module")
def healthy_tissues(template: Anatomy) -> np.ndarray:
    return tissues_of(template, HEALTHY)


def tissues_of(template: Anatomy, person: Person) -> np.ndarray:
    """A person's tissues on the template's own grid, with the same random shape for everyone."""
    displacement = person_displacement(template, person, np.random.default_rng(3))
    shape = template.tissues.shape[1:]
    return thin_cortex(sample_tissues(template, displacement, template.affine, shape), person.thinning)


def ventricle_ml(template: Anatomy, tissues: np.ndarray) -> float:
    around = draw_region(VENTRICLE_TUBES, tissues.shape[1:], template.affine)
    return float(tissues[CSF][around].sum() * 1.5**3 / 1000)


@pytest.mark.ci
def test_ventricles_grow_with_their_shift(template: Anatomy, healthy_tissues: np.ndarray) -> None:
    before = ventricle_ml(template, healthy_tissues)
    volumes = [
        ventricle_ml(template, tissues_of(template, replace(HEALTHY, ventricle_shift_mm=shift))) for shift in (1.5, 3.0)
    ]
    assert 1.2 * before < volumes[0] < volumes[1] < 3 * before


@pytest.mark.ci
def test_hippocampi_shrink_with_their_shift(template: Anatomy) -> None:
    region = draw_region(HIPPOCAMPUS_TUBES, template.tissues.shape[1:], template.affine)
    labelled = replace(template, tissues=np.where(region, template.tissues, 0))
    before, after = (
        tissues_of(labelled, replace(HEALTHY, hippocampus_shift_mm=shift))[GREY].sum() for shift in (0.0, 1.2)
    )
    assert 0.5 < after / before < 0.85


def test_thinning_turns_cortex_to_fluid_and_keeps_the_rest(template: Anatomy, healthy_tissues: np.ndarray) -> None:
    thin = thin_cortex(healthy_tissues, 0.5)
    lost = healthy_tissues[GREY].sum() - thin[GREY].sum()
    assert lost == pytest.approx(thin[CSF].sum() - healthy_tissues[CSF].sum(), rel=1e-3)
    assert 0.04 < lost / healthy_tissues[GREY].sum() < 0.25


@pytest.mark.ci
def test_a_scan_follows_from_seed_site_and_participant_only(template: Anatomy) -> None:
    first = make_scan(template, HEALTHY, SITE, 1, "site-A", "sub-A001")
    again = make_scan(template, HEALTHY, SITE, 1, "site-A", "sub-A001")
    other = make_scan(template, HEALTHY, SITE, 1, "site-A", "sub-A002")
    assert np.array_equal(first.voxels, again.voxels)
    assert np.array_equal(first.affine, again.affine)
    assert first.voxels.shape != other.voxels.shape or not np.array_equal(first.voxels, other.voxels)


def test_a_scan_has_the_sites_grid_and_a_whole_brain(template: Anatomy) -> None:
    scan = make_scan(template, HEALTHY, SITE, 2, "site-A", "sub-A001")
    assert nib.aff2axcodes(scan.affine) == ("L", "P", "S")
    np.testing.assert_allclose(nib.affines.voxel_sizes(scan.affine), [2.0, 2.0, 4.0], rtol=1e-6)
    brain = scan.voxels > 0
    assert 1000 < brain.sum() * 16 / 1000 < 1900
    assert np.pad(brain[1:-1, 1:-1, 1:-1], 1).sum() == brain.sum()
    centre = scan.affine[:3] @ [*np.argwhere(brain).mean(axis=0), 1]
    assert np.linalg.norm(centre - (0, -18, 8)) < 20
    assert 400 < np.median(scan.voxels[brain]) < 900


def test_thick_slices_lie_where_the_thin_ones_do(template: Anatomy) -> None:
    thin, thick = replace(SITE, slice_mm=1.5), replace(SITE, slice_mm=4.5)
    geometry = [field_of_view(template, HEALTHY, site, np.random.default_rng(0)) for site in (thin, thick)]
    assert [slabs for *_, slabs in geometry] == [1, 3]
    centres = []
    for to_anatomy, shape, affine, slabs in geometry:
        fine_middle = (np.array(shape) - 1) / 2
        np.testing.assert_allclose(
            to_anatomy @ [*fine_middle, 1],
            [*(template.affine[:3, 3] + 0.75 * (np.array(template.tissues.shape[1:]) - 1)), 1],
            atol=1e-6,
        )
        centres.append(affine @ [*((np.array(shape) // [1, 1, slabs] - 1) / 2), 1])
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-6)


def test_slabs_are_averages_of_neighbours() -> None:
    maps = np.arange(2 * 2 * 6 * 3, dtype=np.float32).reshape(2, 2, 6, 3)
    averaged = average_slabs(maps, axis=1, slabs=2)
    assert averaged.shape == (2, 2, 3, 3)
    np.testing.assert_array_equal(averaged[:, :, 1], (maps[:, :, 2] + maps[:, :, 3]) / 2)


def test_noise_is_rician() -> None:
    dark = add_rician_noise(np.zeros((40, 40, 40), np.float32), 0.1, np.random.default_rng(0))
    assert dark.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh
    bright = add_rician_noise(np.full((40, 40, 40), 5.0, np.float32), 0.1, np.random.default_rng(0))
    assert bright.std() == pytest.approx(0.1, rel=0.02)


def test_the_bias_field_is_positive_smooth_and_as_strong_as_asked() -> None:
    field = bias_field((30, 40, 20), 0.12, np.random.default_rng(4))
    assert np.log(field).std() == pytest.approx(0.12, rel=1e-3)
    assert max(np.abs(np.diff(np.log(field), axis=axis)).max() for axis in range(3)) < 0.1
