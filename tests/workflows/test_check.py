"""`check` on real folders: each planted leak is found, and a clean cohort raises nothing."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from scipy import ndimage

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.sealed import write_sealed_text
from fedtune3d.cli.app import main
from fedtune3d.simulation import simulate_sites

WriteSite = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, write_small_site: WriteSite, small_experiment: Any) -> Path:
    """Two sites of six people, whose ids have nothing in common.

    They have the scans of the small experiment's first six, whose cache they use.
    """
    for seed, name in enumerate("AB"):
        write_small_site(tmp_path / name, people=6, seed=seed)
    rename_people(tmp_path / "B", "sub-", "sub-utrecht")
    values = {
        "name": "checked",
        "sites": [{"name": name, "root": name} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 1},
        "threads": 1,
        "cache": small_experiment.values["cache"],
        "output": "run",
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def rename_people(root: Path, before: str, after: str) -> None:
    table = root / "participants.tsv"
    table.write_text(table.read_text().replace(before, after))
    for path in sorted(root.glob(f"{before}*")):
        scan = scan_of(root, path.name)
        scan.rename(scan.with_name(scan.name.replace(before, after)))
        path.rename(path.with_name(path.name.replace(before, after)))


def scan_of(root: Path, person: str) -> Path:
    return root / person / "anat" / f"{person}_T1w.nii.gz"


def change(path: Path, **settings: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | settings))


def check(folder: Path, capsys: pytest.CaptureFixture[str], command: str = "check") -> tuple[int, str, list[str]]:
    """Exit code, standard output and the lines of leaks."""
    options = ["--no-near", "--workers", "1"] if command == "check" else []
    with pytest.raises(SystemExit) as caught:
        main([command, str(folder / "experiment.yaml"), *options])
    printed = capsys.readouterr()
    leaks = [line for line in printed.err.replace("fedtune3d: ", "").splitlines() if line.startswith("leak: ")]
    return int(caught.value.code or 0), printed.out, leaks


def about_leaks(out: str) -> list[str]:
    """The warnings that are neither of the sites' few people nor of random weights."""
    small = re.compile(
        "warning: (few optimiser|fewer than 5 people|too few people|(train|validation|test) set without|"
        "encoder \\S+ has random weights)"
    )
    return [line for line in out.splitlines() if line.startswith("warning: ") and not small.match(line)]


def test_tables_without_ages_are_said_to_have_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "AB":
        table = folder / name / "participants.tsv"
        table.write_text(table.read_text().replace("\tage\tsex\n", "\tage_years\tgender\n"))
    with pytest.raises(SystemExit):
        main(["check", str(folder / "experiment.yaml"), "--no-near", "--workers", "1"])
    out, err = capsys.readouterr()
    assert (
        "warning: age alone was not tested as a predictor of the label at A and B: the tables have no column age\n"
    ) in out
    assert "A: warning: no columns age, sex (found age_years, gender): rename them; without them: " in err


def test_sites_are_in_the_order_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder / "experiment.yaml", sites=[{"name": name, "root": name} for name in "BA"])
    for name in "AB":
        table = folder / name / "participants.tsv"
        table.write_text(table.read_text().replace("\tage\t", "\tage_years\t"))
    _, out, _ = check(folder, capsys)
    heads = [line.split()[0] for line in out.splitlines() if "(women)" in line]
    assert heads == ["B", "A"]
    assert "predictor of the label at B and A: the tables" in out


def test_a_clean_cohort_raises_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, leaks = check(folder, capsys)
    assert (code, leaks) == (0, [])
    assert about_leaks(out) == []
    assert "Encoder: tiny, random weights\n" in out
    assert not (folder / "run").exists()


@pytest.mark.ci
def test_small_sites_are_warned_of_as_by_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", str(folder / "experiment.yaml")])
    planned = " ".join(capsys.readouterr().out.split())
    _, out, _ = check(folder, capsys)
    warnings = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == planned.count("warning: ") > 1
    assert [line for line in warnings if line not in planned] == []
    assert f"no leak found, {len(warnings)} warnings" in out


@pytest.mark.ci
@pytest.mark.parametrize("command", ["plan", "check"])
def test_sets_of_an_earlier_run_are_said_to_be_its(
    command: str,
    small_experiment: Any,
    small_run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its folder has splits, so a change of `splits` would not show."""
    folder = tmp_path / "experiment"
    splits = {"train": 0.3, "validation": 0.4, "test": 0.3}
    for changes in ({}, {"splits": splits}):
        path = small_experiment.write(folder, **{"baselines": ["local", "centralized"], **changes})
        path.write_text(path.read_text().replace(str(folder), str(small_run.path)))
        with pytest.raises(SystemExit):
            main([command, str(path), *(["--no-near"] if command == "check" else [])])
        printed = capsys.readouterr()
        text = " ".join(printed.out.split())
        assert text, printed.err
        if changes:
            assert "contains a run with another configuration (splits.train: 0.5 before, 0.3 now; " in text
            assert "change `output`, or undo the change to resume. People are shown in the sets of that run" in text
        else:
            assert "already contains this run; `run` needs --resume to continue it" in text
        assert "fewer than 5 people of a class in validation: A (1 AD, 1 CN), B (1 AD, 1 CN)" in text


@pytest.mark.ci
def test_a_copy_saved_otherwise_at_another_site_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = nib.load(scan_of(folder / "A", "sub-03"))
    wanted = nib.orientations.axcodes2ornt(("P", "S", "R"))
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))
    target = scan_of(folder / "B", "sub-utrecht00")
    target.unlink()
    nib.save(nib.Nifti1Image(turned.get_fdata(), turned.affine), target.with_suffix(""))
    code, _, leaks = check(folder, capsys)
    assert code == 2
    assert len(leaks) == 1
    assert leaks[0].startswith("leak: the same image under two ids: A sub-03 (")
    assert " and B sub-utrecht00 (" in leaks[0]
    assert check(folder, capsys, "run")[0] == 2  # before any training
    assert not (folder / "run" / "rounds.jsonl").exists()


def test_names_that_may_not_leave_are_digits_that_the_site_can_look_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(scan_of(folder / "A", "sub-03"), scan_of(folder / "A", "sub-04"))
    sites = [{"name": "A", "root": "A", "policy": {"names_leave": False}}]
    change(folder / "experiment.yaml", sites=sites, cache="cache")
    code, out, [leak] = check(folder, capsys)
    assert code == 2
    assert "sub-0" not in out + leak
    names = dict(line.split("\t") for line in (folder / "cache" / "A" / "names.tsv").read_text().splitlines())
    shown = {word for word in leak.split() if word.startswith("#")}
    assert {names[word] for word in shown} == {"sub-03", "sub-04"}


@pytest.mark.ci
def test_two_sessions_apart_in_the_split_of_a_run_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = folder / "A" / "sub-03"
    for session in ("1", "2"):
        target = person / f"ses-{session}" / "anat" / f"sub-03_ses-{session}_T1w.nii.gz"
        target.parent.mkdir(parents=True)
        shutil.copyfile(scan_of(folder / "A", "sub-02"), target)
        image = nib.load(target)
        noise = np.random.default_rng(int(session)).normal(0, 1, image.shape) * (image.get_fdata() != 0)
        nib.save(nib.Nifti1Image((image.get_fdata() + noise).astype(np.float32), image.affine), target)
    shutil.rmtree(person / "anat")
    assert check(folder, capsys)[0] == 0
    rows = ["participant_id\tsession_id\tgroup_id\tlabel\tsplit"]
    rows += ["sub-03\tses-1\tsub-03\t1\ttrain", "sub-03\tses-2\tother\t1\ttest"]
    write_sealed_text(folder / "run" / "sites" / "A" / "splits.tsv", "\n".join(rows) + "\n")
    code, _, leaks = check(folder, capsys)
    assert code == 2
    assert leaks == ["leak: one person in two splits: A sub-03 (test: sub-03_ses-2; train: sub-03_ses-1)"]


def test_ids_of_one_form_and_ages_that_tell_are_warnings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rename_people(folder / "B", "sub-utrecht", "sub-")
    code, out, _ = check(folder, capsys)
    assert code == 0
    [warning] = about_leaks(out)
    assert warning.startswith("warning: 6 participant ids occur at A and B, such as sub-00, sub-01, sub-02")


@pytest.mark.slow
def test_a_clean_cohort_of_200_simulated_scans_raises_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Simulated on voxels of 3 mm, which takes a third of the time."""
    effects = [part for site in "ABCD" for part in ("--site-effect", f"{site}=voxels=3mm,slices=3mm")]
    with pytest.raises(SystemExit):
        main(["simulate", str(tmp_path), "--scans", "200", *effects])
    with pytest.raises(SystemExit) as caught:
        main(["check", str(tmp_path / "experiment.yaml")])
    out = capsys.readouterr().out
    assert not caught.value.code
    assert about_leaks(out) == []
    assert "no leak found" in out


@pytest.mark.slow
def test_an_interpolated_copy_at_another_site_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate_sites(tmp_path, sites=2, scans=12, seed=3, min_per_class=1, workers=1)
    roots = sorted(path for path in tmp_path.iterdir() if (path / "participants.tsv").exists())
    source, target = (sorted(root.rglob("*_T1w.nii.gz"))[0] for root in roots)
    image = nib.load(source)
    moved = ndimage.shift(image.get_fdata(), (0.4, -0.3, 0.2), order=1) * 1.7
    nib.save(nib.Nifti1Image(moved.astype(np.float32), image.affine), target)
    values = {
        "name": "near",
        "sites": [{"name": root.name, "root": str(root)} for root in roots],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "threads": 1,
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(SystemExit) as caught:
        main(["check", str(tmp_path / "experiment.yaml"), "--workers", "1"])
    assert not caught.value.code
    [warning] = about_leaks(capsys.readouterr().out)
    assert warning.startswith("warning: possibly one person under two ids")
    assert source.parents[1].name in warning
    assert target.parents[1].name in warning


def test_ids_of_a_public_cohort_are_warned_of_where_the_encoder_may_have_seen_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename_people(folder / "A", "sub-", "sub-ADNI002S00")
    model = {"encoder": "tiny", "weights": "turbo.pth", "head": "linear"}
    change(folder / "experiment.yaml", model=model)
    code, out, leaks = check(folder, capsys)
    assert (code, leaks) == (0, [])
    said = "warning: site A: it is not known whether encoder tiny was pre-trained on scans of ADNI, whose ids"
    assert " ".join(out.split()).count(said) == 1
    change(folder / "experiment.yaml", model=model | {"weights": "random"})
    assert about_leaks(check(folder, capsys)[1]) == []
