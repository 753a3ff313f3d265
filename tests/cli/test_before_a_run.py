"""`fedtune3d init` and `prepare`: what they print and write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import call

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cli.program import program
from fedtune3d.cohorts.flow import SiteFlow
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import ClassOutcome


def test_init_lists_the_diagnoses_and_what_it_writes_is_valid(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    code, out, _ = call(capsys, "init", small_experiment.folder / "A", small_experiment.folder / "B", "-o", path)
    assert code == 0
    assert "diagnoses: AD (12), CN (12)" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  fedtune3d")] == [
        "plan",
        "prepare",
        "check",
        "run",
    ]
    assert str(path) in out
    assert "AD (12), CN (12)" in path.read_text()
    experiment = Experiment.from_yaml(path)
    assert [site.name for site in experiment.sites] == ["A", "B"]
    assert experiment.labels is not None
    assert (experiment.labels.positive, experiment.labels.negative) == (("AD",), ("CN",))
    assert experiment.sites[0].root is not None
    assert experiment.sites[0].root.resolve() == (small_experiment.folder / "A").resolve()


def test_init_offers_classes_and_a_number(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path
) -> None:
    path = tmp_path / "classes.yaml"
    assert call(capsys, "init", small_experiment.folder / "A", "-o", path, "--classes", "CN, AD")[0] == 0
    assert Experiment.from_yaml(path).outcome == ClassOutcome(("CN", "AD"))
    code, _, err = call(capsys, "init", small_experiment.folder / "A", "-o", tmp_path / "x", "--target", "agge")
    assert (code, "expected a column agge" in err) == (2, True)


@pytest.mark.parametrize(
    "typed",
    ["--classes CN, MCI, AD", "--classes CN MCI AD", "--classes CN ,MCI ,AD", "--classes CN,MCI, AD"],
)
def test_spaces_between_classes_are_named(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path, typed: str
) -> None:
    folder = small_experiment.folder
    code, _, err = call(capsys, "init", folder / "A", folder / "B", "-o", tmp_path / "x.yaml", *typed.split(" "))
    assert code == 2
    assert "expected names separated by commas without spaces" in err
    assert err.rstrip().endswith("write --classes CN,MCI,AD")
    missing = folder / "C"
    code, _, err = call(capsys, "init", missing, "-o", tmp_path / "x.yaml", "--classes", "CN,AD")
    assert (code, f"{missing}: expected a BIDS or CAPS folder" in err) == (2, True)


def test_init_prints_what_it_assigned(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path
) -> None:
    folder = small_experiment.folder
    code, out, _ = call(capsys, "init", folder / "A", folder / "B", "-o", tmp_path / "x.yaml", "--encoder", "deepbet")
    assert code == 0
    assert "\nnegative: CN; positive: AD\nwrote " in out
    assert Experiment.from_yaml(tmp_path / "x.yaml").model.encoder == "deepbet"


def test_init_asks_first_to_fill_in_what_it_does_not_know(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "A" / "sub-1" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-1_T1w.nii.gz").touch()
    (tmp_path / "A" / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-1\t0\n")
    code, out, _ = call(capsys, "init", tmp_path / "A", "-o", tmp_path / "x.yaml")
    assert code == 0
    assert "\nFirst write the classes where it says `# fill in`: " in out


def test_init_does_not_overwrite(capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    code, _, err = call(capsys, "init", small_experiment.folder / "A", "-o", path)
    assert code == 2
    assert "exists already" in err
    assert path.read_text() == "mine"


def test_simulate_names_the_next_command_unless_told_not_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "experiment.yaml"
    monkeypatch.setattr("fedtune3d.workflows.simulate.write_simulation", lambda *_: path)
    code, out, _ = call(capsys, "simulate", tmp_path)
    assert (code, out.splitlines()) == (
        0,
        [f"wrote 4 simulated sites and {path}", f"Next: {program()} run {path}"],
    )
    code, out, _ = call(capsys, "simulate", tmp_path, "--no-next")
    assert (code, out.splitlines()) == (0, [f"wrote 4 simulated sites and {path}"])


def test_what_continues_by_itself_after_simulating_names_no_next_command() -> None:
    root = Path(__file__).parents[2]
    lines = [*(root / "Makefile").read_text().splitlines(), *(root / "examples/federation.py").read_text().splitlines()]
    simulating = [line for line in lines if "fedtune3d simulate" in line or 'call("simulate"' in line]
    assert len(simulating) == 4
    assert all("--no-next" in line for line in simulating)


def test_prepare_shows_the_sets_that_a_run_makes(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, small_run: RunFolder, tmp_path: Path
) -> None:
    code, out, _ = call(capsys, "prepare", small_experiment.write(tmp_path / "new"))
    assert code == 0
    flows = [read_typed(SiteFlow, small_run.site(name).flow, "").flow for name in "AB"]
    for split, title in (("train", "Training"), ("validation", "Validation"), ("test", "Test")):
        counts = [flow.splits[split].total for flow in flows]
        cells = [f"{part.participants} ({part.scans})" for part in (*counts, counts[0] + counts[1])]
        assert f"{title} {' '.join(cells)}" in [" ".join(line.split()) for line in out.splitlines()]
    only = call(capsys, "prepare", small_experiment.write(tmp_path / "one"), "--site", "A")[1]
    assert "Validation" in only
    folds = small_experiment.write(tmp_path / "folds", validation={"folds": 3})
    assert "Validation" not in call(capsys, "prepare", folds)[1]


@pytest.mark.ci
def test_a_bad_scan_can_be_skipped_and_is_listed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, write_small_site: Callable[..., None]
) -> None:
    write_small_site(tmp_path / "A", people=4, seed=1)
    scan = tmp_path / "A" / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:2000])
    values = {
        "name": "bad",
        "sites": [{"name": "A", "root": "A"}],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "on_bad_scan": "skip",
    }
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(values))
    code, out, _ = call(capsys, "prepare", path)
    assert code == 0
    assert "A: 3 scans prepared, 1 excluded" in out
    assert "sub-03: " in out
