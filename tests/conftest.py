"""Two small sites of generated heads, for whatever needs a whole experiment."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from shared_folders import made_once

from fedtune3d._utils.folders import RunFolder

SPACING_MM = 2.5
SHAPE = (60, 72, 60)


@dataclasses.dataclass(frozen=True)
class SmallExperiment:
    """A folder with sites A and B and the YAML values of an experiment over them."""

    folder: Path
    values: dict

    def write(self, output: Path, **changes: object) -> Path:
        """Write an experiment file whose run goes to `output`; the cache is shared."""
        path = output.with_suffix(".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(self.values | {"output": str(output)} | changes))
        return path


def draw_head(positive: bool, rng: np.random.Generator) -> nib.Nifti1Image:
    """An ellipsoid of noise with a hole in the middle, larger in the positive; LAS axes, far from the origin."""
    axes = np.indices(SHAPE, dtype=np.float32) - np.array(SHAPE, dtype=np.float32)[:, None, None, None] / 2
    radii = np.array([24, 30, 24]) * rng.uniform(0.95, 1.05)
    distance = np.sqrt(sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)))
    values = (100 + 20 * np.sin(axes[0] / 4) + rng.normal(0, 5, SHAPE)) * (distance < 1)
    hole = distance < (0.5 if positive else 0.25) * rng.uniform(0.9, 1.1)
    values[hole] *= 0.4
    affine = np.diag([-SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = (80, -95, -60)
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    image.set_sform(affine, code="scanner")
    return image


def write_site(root: Path, people: int, seed: int) -> None:
    """A BIDS folder of `people`, half AD and half CN, one scan each."""
    rng = np.random.default_rng(seed)
    rows = ["participant_id\tdiagnosis\tage\tsex"]
    for number in range(people):
        diagnosis = "AD" if number % 2 else "CN"
        name = f"sub-{number:02d}"
        rows.append(f"{name}\t{diagnosis}\t{60 + number}\t{'F' if number % 3 else 'M'}")
        folder = root / name / "anat"
        folder.mkdir(parents=True)
        nib.save(draw_head(diagnosis == "AD", rng), folder / f"{name}_T1w.nii.gz")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")


def write_small_sites(folder: Path) -> None:
    """Sites A (14 people) and B (10)."""
    for seed, (name, people) in enumerate({"A": 14, "B": 10}.items()):
        write_site(folder / name, people, seed)


@pytest.fixture(scope="session", autouse=True)
def _unflushed() -> Iterator[None]:
    """Let no file wait for the disk: no test cuts the power, and a run waits 150 times. What is flushed, and when, is
    tested in `test_files` and `test_ledgers`; processes of their own flush."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Commands of a site keep their files from others for the rest of the process: here, of the test."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def small_experiment(tmp_path_factory: pytest.TempPathFactory) -> SmallExperiment:
    """Sites A (14 people) and B (10), the tiny random encoder, a linear head, two rounds.

    All workers share the sites, which no test may change, and the cache, to which every run adds.
    """
    folder = made_once(tmp_path_factory, "small", write_small_sites)
    values = {
        "name": "small",
        "seed": 3,
        "sites": [{"name": name, "root": str(folder / name)} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 2, "batch_size": 4},
        "cache": str(folder / "cache"),
        "threads": 1,
    }
    return SmallExperiment(folder, values)


@pytest.fixture(scope="session")
def small_run(small_experiment: SmallExperiment, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of the small experiment with two baselines, which all workers share and no test may change."""
    from fedtune3d.config.experiment import Experiment  # here, so that tests without a run do not wait for torch
    from fedtune3d.workflows.run import run_experiment

    def run(folder: Path) -> None:
        path = small_experiment.write(folder / "run", baselines=["local", "centralized"])
        run_experiment(Experiment.from_yaml(path))

    return RunFolder(made_once(tmp_path_factory, "small-run", run) / "run")


@pytest.fixture(scope="session")
def template_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of six simulated scans of the template's anatomy, which all workers share and no test may change."""
    from fedtune3d.simulation import simulate_sites

    def simulate(folder: Path) -> None:
        simulate_sites(folder, sites=1, scans=6, seed=3, min_per_class=1, workers=1)

    return made_once(tmp_path_factory, "template-site", simulate) / "site-A"


@pytest.fixture(scope="session")
def write_small_site() -> Callable[..., None]:
    """`write_site`, for tests that spoil what it wrote."""
    return write_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; skips where it is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def faults_of_access() -> Callable[[Any], list[tuple[str, list[str]]]]:
    """What axe-core finds on a page, of any impact: its rule, and the first places."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def found(page: Any) -> list[tuple[str, list[str]]]:
        violations = axe.Axe().run(page).response["violations"]
        return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in violations]

    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real anatomy; skips where there is none."""
    folder = os.environ.get("FEDTUNE3D_TEST_DATA")
    if not folder:
        pytest.skip("FEDTUNE3D_TEST_DATA names no folder of real anatomy")
    return Path(folder)
