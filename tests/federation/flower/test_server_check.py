"""`server check` asks sites elsewhere what `check` asks on one machine, and trains nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_a_scan_at_two_hospitals_is_found_and_named_by_neither(
    deploy: Callable[..., Any], tmp_path: Path, write_small_site: Callable[..., None]
) -> None:
    for seed, name in enumerate("AB"):
        write_small_site(tmp_path / name, people=6, seed=seed)
    copied = "sub-03/anat/sub-03_T1w.nii.gz"
    shutil.copyfile(tmp_path / "A" / copied, tmp_path / "B" / copied)
    (tmp_path / "key").write_text("5d1c8e0b7f4a92636c21e8d9075ab3f4186e2c9b40d7af5388e1f06a2b9dc754")
    (tmp_path / "key").chmod(0o600)
    deployment = deploy(roots={name: tmp_path / name for name in "AB"})
    for name in "AB":
        deployment.configure(name, fingerprint_key=str(tmp_path / "key"))
        deployment.join(name)
    experiment = deployment.write("checked")
    words = ("server", "check", experiment, "--folder", deployment.server_folder.path, "--no-near")
    checked = deployment.run(*words)
    assert checked.returncode == 2, checked.stderr
    assert "leak: the same image under two ids: A #" in checked.stderr
    assert "sub-0" not in checked.stdout + checked.stderr
    assert {line["kind"] for line in deployment.left("A")} == {
        "count_scans",
        "assign_splits",
        "fingerprint_scans",
        "describe_people",
    }
    assert not experiment.with_suffix("").exists()
    for name in "AB":
        deployment.join(name).stop()
        deployment.configure(name)
        deployment.join(name)
    unseen = deployment.run(*words)
    assert unseen.returncode == 0, unseen.stderr
    assert "A and B not audited for leaks: no fingerprint_key" in unseen.stdout
