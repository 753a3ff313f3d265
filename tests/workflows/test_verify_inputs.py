"""`verify --inputs`: a scan or table that changed after it was read is named, in one process and at a hospital."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command_line import call

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder, SitePaths, SiteWork
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.cohorts.reading import list_scans
from fedtune3d.federation.site.inputs import SiteInputs, input_paths, sha256_file
from fedtune3d.workflows.verify_inputs import verify_inputs

CHANGED = "has changed since the run read it"


def write_list(run: RunFolder, site: str, root: Path) -> None:
    paths = input_paths(root, list_scans(root), None)
    write_typed(run.site(site).inputs, SiteInputs({name: sha256_file(path) for name, path in paths.items()}))


@pytest.fixture
def read(write_small_site: Callable[..., None], tmp_path: Path) -> Path:
    """A folder with an experiment and what its run says that it read at sites A and B."""
    for name in "AB":
        write_small_site(tmp_path / name, people=4, seed=ord(name))
        write_list(RunFolder(tmp_path / "run"), name, tmp_path / name)
    values = {
        "name": "small",
        "sites": [{"name": name, "root": name} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


@pytest.fixture
def hospital(read: Path) -> Path:
    """The folder of site A in a deployment, with two runs."""
    folder = read / "hospital"
    folder.mkdir()
    SitePaths(folder).settings.write_text("name: A\nserver: localhost:9\ndata: ../A\n")
    for number in "12":
        write_list(SiteWork(folder / "work").run("small", number * 64), "A", read / "A")
    return folder


def test_what_nobody_touched_is_as_it_was_read(read: Path, hospital: Path) -> None:
    assert verify_inputs(read / "run", read / "experiment.yaml") == ()
    assert verify_inputs(hospital, hospital) == ()


def test_changed_inputs_are_named(read: Path) -> None:
    table = read / "A" / "participants.tsv"
    table.write_text(table.read_text().replace("sub-00\tCN", "sub-00\tAD"))
    (scan, *_) = sorted((read / "B").rglob("*_T1w.nii.gz"))
    scan.rename(scan.with_name("gone"))
    damages = verify_inputs(read / "run", read / "experiment.yaml")
    assert {damage.path: damage.problem for damage in damages} == {
        table: CHANGED,
        read / "B": "scan sub-00, which the run read, is missing",
    }


@pytest.mark.parametrize("given", ["", "site.yaml"])
def test_at_a_hospital_the_sites_folder_says_where_the_inputs_are(
    capsys: pytest.CaptureFixture[str], hospital: Path, read: Path, given: str
) -> None:
    (scan, *_) = sorted((read / "A").rglob("*_T1w.nii.gz"))
    scan.write_bytes(scan.read_bytes() + b"\0")
    code, out, err = call(capsys, "verify", hospital, "--inputs", hospital / given)
    assert code == 2
    assert err.count(f"{scan.name}: {CHANGED}") == 1  # though two runs read it
    assert "1 damaged" in out


def test_a_table_that_cannot_be_read_any_more_is_named_as_well(read: Path) -> None:
    table = read / "A" / "participants.tsv"
    table.write_bytes(table.read_bytes() + b"\0")
    problems = [(damage.path, damage.problem) for damage in verify_inputs(read / "run", read / "experiment.yaml")]
    assert (table, CHANGED) in problems
    assert [path for path, problem in problems if "scans cannot be listed" in problem] == [read / "A"]
    assert len(problems) == 2


def test_a_folder_without_a_run_of_the_site_is_one_line(read: Path, hospital: Path) -> None:
    shutil.rmtree(hospital / "work")
    with pytest.raises(InputError, match="expected a run of A, found no list of inputs"):
        verify_inputs(hospital, hospital)
    shutil.rmtree(read / "B")
    with pytest.raises(InputError, match=r"B: no such folder or table, which site B was read from"):
        verify_inputs(read / "run", read / "experiment.yaml")
