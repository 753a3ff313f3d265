import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d.simulation import simulate_sites
from fedtune3d.simulation.outcomes import SimulatedOutcome


def hashes(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_file(path) for path in sorted(out.rglob("*")) if path.is_file()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "participants.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory, make_label_maps: Callable[..., Path]) -> Path:
    return make_label_maps(tmp_path_factory.mktemp("anatomies") / "maps")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory, maps: Path) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "out"
    simulate_sites(out, sites=2, scans=16, seed=1, anatomies=maps, min_per_class=1, workers=1)
    return out


@pytest.mark.ci
def test_the_bytes_do_not_depend_on_the_number_of_workers(simulated: Path, maps: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    folders = simulate_sites(
        tmp_path,
        sites=2,
        scans=16,
        seed=1,
        anatomies=maps,
        min_per_class=1,
        workers=2,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert hashes(tmp_path) == hashes(simulated)
    assert [folder.name for folder in folders] == ["site-A", "site-B"]
    assert steps == [(done, 16) for done in range(17)]


def test_every_file_says_that_it_is_simulated(simulated: Path) -> None:
    for site in ("site-A", "site-B"):
        description = json.loads((simulated / site / "dataset_description.json").read_text(encoding="utf-8"))
        assert description["Simulated"] is True
        assert "imulated" in description["Name"]
        assert description["GeneratedBy"][0]["Parameters"]["Seed"] == 1
        assert "Simulated" in (simulated / site / "README").read_text(encoding="utf-8")
        for participant in rows(simulated / site):
            stem = simulated / site / participant["participant_id"] / "anat" / f"{participant['participant_id']}_T1w"
            assert json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))["Simulated"] is True
            assert b"simulated" in nib.load(stem.with_suffix(".nii.gz")).header["descrip"].item()


def test_participants_are_unique_over_sites_and_name_their_person(simulated: Path) -> None:
    participants = [row for site in ("site-A", "site-B") for row in rows(simulated / site)]
    assert len({row["participant_id"] for row in participants}) == 16
    diagnoses = {(row["group_id"], row["diagnosis"], row["age"], row["sex"]) for row in participants}
    assert len(diagnoses) == 6
    columns = json.loads((simulated / "site-A" / "participants.json").read_text(encoding="utf-8"))
    assert set(columns) == {"diagnosis", "age", "sex", "group_id"}


def test_only_missing_scans_are_made(simulated: Path, maps: Path) -> None:
    before = hashes(simulated)
    scans = sorted(simulated.rglob("*_T1w.nii.gz"))
    times = {path: path.stat().st_mtime_ns for path in scans}
    scans[3].unlink()
    steps: list[int] = []
    simulate_sites(
        simulated, 2, 16, 1, anatomies=maps, min_per_class=1, workers=1, progress=lambda done, _: steps.append(done)
    )
    assert steps == [15, 16]
    assert hashes(simulated) == before
    assert [path for path in scans if path.stat().st_mtime_ns != times[path]] == [scans[3]]


def test_another_simulation_in_the_folder_is_refused(simulated: Path, maps: Path) -> None:
    before = hashes(simulated)
    with pytest.raises(InputError, match="holds a simulation with another seed; choose another folder"):
        simulate_sites(simulated, 2, 16, 2, anatomies=maps, min_per_class=1, workers=1)
    assert hashes(simulated) == before


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path, maps: Path) -> None:
    (tmp_path / "site-A").mkdir()
    with pytest.raises(InputError, match="site-A: exists and was not written by this simulation"):
        simulate_sites(tmp_path, 2, 16, 1, anatomies=maps, min_per_class=1, workers=1)


def test_nothing_is_written_when_the_numbers_are_impossible(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="4 sites need at least 104 scans"):
        simulate_sites(tmp_path / "out", sites=4, scans=50)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_seen_before_the_first_scan(tmp_path: Path, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedtune3d._utils import files

    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(InputError, match="simulating 16 scans needs 64 MB of disk, but 1 MB are free"):
        simulate_sites(tmp_path / "out", 2, 16, 1, anatomies=maps, min_per_class=1, workers=1)
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_template_sites_read_as_a_cohort_that_can_be_prepared(template_site: Path) -> None:
    from fedtune3d.cohorts.labels import LabelMapping
    from fedtune3d.cohorts.reading import read_site
    from fedtune3d.preparation.prepare_scan import prepare_scan

    cohort = read_site(template_site, "A", LabelMapping(("AD",), ("CN",)))
    assert len(cohort.records) == 6
    assert sum(record.label for record in cohort.records) == 3
    assert not any(record.group_declared for record in cohort.records)
    prepared = prepare_scan(cohort.records[0].path)
    assert prepared.voxels.shape == (128, 128, 128)
    assert 1000 < prepared.brain_ml < 2000


def test_tables_of_other_outcomes_hold_what_is_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtune3d.simulation.simulate._make_scans", lambda *_: iter(()))
    columns = {}
    for outcome in SimulatedOutcome:
        (site,) = simulate_sites(tmp_path / outcome, sites=1, scans=12, min_per_class=1, outcome=outcome)
        table, described = rows(site), json.loads((site / "participants.json").read_text(encoding="utf-8"))
        columns[outcome] = set(table[0])
        assert set(described) == set(table[0]) - {"participant_id"}
        assert {row.get("diagnosis") for row in table} == (
            {None} if outcome is SimulatedOutcome.AGE else set(outcome.diagnoses)
        )
        if outcome is not SimulatedOutcome.AGE:
            assert set(outcome.diagnoses) == set(described["diagnosis"]["Levels"])
    assert columns[SimulatedOutcome.CN_AD] - columns[SimulatedOutcome.AGE] == {"diagnosis"}
    with pytest.raises(InputError, match="another outcome"):
        simulate_sites(tmp_path / "age", sites=1, scans=12, min_per_class=1)
