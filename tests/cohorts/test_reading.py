"""The same people laid out in each format: recognised, listed by `init`, and prepared, with the same flow."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fedtune3d.cli.app import main
from fedtune3d.cohorts.formats import recognise
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import read_site

LABELS = LabelMapping(positive=("AD",), negative=("CN",))
MNI = "space-MNI152NLin2009cSym"


def as_bids(raw: Path, site: Path) -> Path:
    shutil.copytree(raw, site)
    return site


def as_derivatives(raw: Path, site: Path) -> Path:
    shutil.copytree(raw, site)
    for scan in site.rglob("*_T1w.nii.gz"):
        scan.rename(scan.with_name(scan.name.replace("_T1w", "_desc-brain_T1w")))
    (site / "dataset_description.json").write_text(json.dumps({"DatasetType": "derivative"}))
    return site


def as_caps(raw: Path, site: Path) -> Path:
    for scan in raw.rglob("*_T1w.nii.gz"):
        person = scan.name.split("_")[0]
        folder = site / "subjects" / person / "ses-M000" / "t1_linear"
        folder.mkdir(parents=True)
        shutil.copy(scan, folder / f"{person}_ses-M000_{MNI}_desc-Crop_res-1x1x1_T1w.nii.gz")
    shutil.copy(raw / "participants.tsv", site)
    return site


def as_table(raw: Path, site: Path) -> Path:
    shutil.copytree(raw, site.with_name("files"))
    header, *rows = (raw / "participants.tsv").read_text().splitlines()
    paths = [f"files/{row[:6]}/anat/{row[:6]}_T1w.nii.gz\t{row}" for row in rows]
    site.with_suffix(".tsv").write_text("\n".join([f"path\t{header}", *paths]) + "\n")
    return site.with_suffix(".tsv")


LAYOUTS = {"bids": as_bids, "derivatives": as_derivatives, "caps": as_caps, "table": as_table}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> Path:
    """A raw folder of four people, two of each class."""
    folder = tmp_path_factory.mktemp("raw") / "raw"
    write_small_site(folder, people=4, seed=1)
    return folder


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_same_people_in_each_format(raw: Path, tmp_path: Path, kind: str) -> None:
    root = LAYOUTS[kind](raw, tmp_path / "clinic")
    assert recognise(root) == kind
    cohort = read_site(root, "A", LABELS)
    assert [(one.participant_id, one.label, one.age, one.sex) for one in cohort.records] == [
        ("sub-00", 0, 60.0, "M"),
        ("sub-01", 1, 61.0, "F"),
        ("sub-02", 0, 62.0, "F"),
        ("sub-03", 1, 63.0, "M"),
    ]
    assert all(one.path.is_file() for one in cohort.records)


@pytest.mark.ci
@pytest.mark.parametrize("kind", LAYOUTS)
def test_from_init_to_prepare_in_each_format(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    root = LAYOUTS[kind](raw, tmp_path / "clinic")
    path = tmp_path / "experiment.yaml"
    with pytest.raises(SystemExit) as caught:
        main(["init", str(root), "-o", str(path)])
    assert caught.value.code == 0
    values = yaml.safe_load(path.read_text())
    assert [site["name"] for site in values["sites"]] == ["clinic"]
    assert values["labels"] == {"positive": ["AD"], "negative": ["CN"]}
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["prepare", str(path), "--workers", "1"])
    printed = capsys.readouterr()
    assert caught.value.code == 0, printed.err
    assert "clinic: 4 scans prepared" in printed.out
    assert ["Included", "4", "(4)"] in [line.split() for line in printed.out.splitlines()]
