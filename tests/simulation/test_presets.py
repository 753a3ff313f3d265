import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.simulation import simulate_sites
from fedtune3d.simulation.cohort_design import plan_sites
from fedtune3d.simulation.presets import parse_site_effects
from fedtune3d.simulation.scanning import move_head

SITES = ("site-A", "site-B", "site-C")


def test_settings_become_fields_of_the_site() -> None:
    found = parse_site_effects(["site_c=1.5T,slices=3mm", "a=vendor=B, gain=900,motion=2mm", "C=noise=0.01"], SITES)
    assert found == {
        "site-C": {"noise": 0.01, "bias_strength": 0.04, "slice_mm": 3.0},
        "site-A": {"grey_contrast": 0.67, "fluid_contrast": 0.23, "white_level": 900.0, "motion_mm": 2.0},
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("D=3T", "expected a site of site-A, site-B, site-C, got 'D'"),
        ("C", "expected settings after the site, such as site-C=1.5T,slices=3mm"),
        ("C=7T", "unknown setting '7T', did you mean '3T'"),
        ("C=slice=3mm", "unknown setting 'slice=3mm', did you mean 'slices'"),
        ("C=slices=thick", "slices: expected 0.8 to 6 mm, got 'thick'"),
        ("C=slices=30mm", "slices: expected 0.8 to 6 mm, got '30mm'"),
        ("C=vendor=siemens", "vendor: expected a, b, c, got 'siemens'"),
        ("C=motion=much", "motion: expected none, mild, severe or 0 to 10 mm, got 'much'"),
    ],
)
def test_what_is_not_known_is_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_site_effects([text], SITES)
    assert str(caught.value).startswith(f"--site-effect {text}: {line}")


def test_only_what_is_asked_for_changes() -> None:
    plain, changed = (plan_sites(3, 150, 1, 3, None, texts) for texts in ((), ("C=1.5T,positives=0.9,age=85",)))
    assert plain[:2] == changed[:2]
    assert (changed[2].effect.noise, changed[2].effect.voxel_mm) == (0.035, plain[2].effect.voxel_mm)
    ages = [np.mean([scan.person.age for scan in site[2].scans]) for site in (plain, changed)]
    assert ages[1] > ages[0] + 8
    positives = [sum(scan.person.diagnosis == "AD" for scan in site[2].scans) for site in (plain, changed)]
    assert positives[1] > positives[0]


def test_people_of_real_anatomies_keep_their_age(make_label_maps: Callable[..., Path], tmp_path: Path) -> None:
    maps = make_label_maps(tmp_path / "maps")
    with pytest.raises(InputError, match="positives and age are the people's own with --anatomies"):
        simulate_sites(tmp_path / "out", 1, 6, 1, maps, 1, site_effects=["A=age=80"])


def test_the_description_names_the_effect_and_motion_only_where_there_is_some(
    make_label_maps: Callable[..., Path], tmp_path: Path
) -> None:
    maps = make_label_maps(tmp_path / "maps")
    folders = simulate_sites(tmp_path / "out", 2, 12, 1, maps, 1, workers=1, site_effects=["B=motion=mild"])
    effects = [
        json.loads((folder / "dataset_description.json").read_text())["GeneratedBy"][0]["Parameters"]["SiteEffect"]
        for folder in folders
    ]
    assert "motion_mm" not in effects[0]
    assert effects[1]["motion_mm"] == 1.0
    assert json.loads((tmp_path / "out" / "simulation.json").read_text())["SiteEffects"] == ["B=motion=mild"]


def test_motion_is_repeatable_grows_and_keeps_the_mean() -> None:
    x, y, z = np.indices((32, 36, 30), dtype=np.float32)
    ball = ((x - 16) ** 2 + (y - 18) ** 2 + (z - 15) ** 2 < 120).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    mild, again, severe = (move_head(ball, affine, mm, np.random.default_rng(3)) for mm in (1.0, 1.0, 4.0))
    assert np.array_equal(mild, again)
    assert mild.dtype == np.float32
    assert 0.01 < np.abs(mild - ball).mean() < np.abs(severe - ball).mean() < 0.2
    assert mild.mean() == pytest.approx(ball.mean(), rel=0.15)
