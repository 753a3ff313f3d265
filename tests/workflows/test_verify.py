"""`verify`: whatever changes in a run folder or a cache is found and named, with what helps."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.locks import LOCK
from fedtune3d.config.experiment import Experiment
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.verify import verify_folder

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def finished(
    small_experiment: Any, tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]
) -> Path:
    """A folder with a finished run of FedCE over six people per site, its cache and its sites."""
    folder = tmp_path_factory.mktemp("verify")
    sites = []
    for seed, name in enumerate("AB"):
        write_small_site(folder / name, people=6, seed=seed)
        sites.append({"name": name, "root": str(folder / name)})
    changes = {"sites": sites, "cache": str(folder / "cache"), "aggregation": {"rule": "fedce"}}
    run_experiment(Experiment.from_yaml(small_experiment.write(folder / "run", **changes)))
    return folder


def test_what_nobody_touched_is_whole(finished: Path) -> None:
    for result in (verify_folder(finished / "cache"), verify_folder(finished / "run")):
        assert result.damages == ()
        assert result.checked > 10
    unchecked = verify_folder(finished / "run").unchecked
    assert unchecked < 40  # figures and pictures


def test_every_kind_of_kept_file_is_found_damaged(finished: Path) -> None:
    generator = random.Random(1)
    for folder in ("run", "cache"):
        kept = [path for path in sorted((finished / folder).rglob("*")) if path.is_file() and path.name != LOCK]
        checked = [path for path in kept if path.suffix in (".safetensors", ".json", ".jsonl", ".yaml", ".tsv", ".npy")]
        by_name = {
            (path.parent.name, path.suffix, path.name[:7]): path for path in checked if "figures" not in path.parts
        }
        for path in by_name.values():
            if path.name in ("qc.tsv", "names.tsv"):
                continue
            content = path.read_bytes()
            damaged = bytearray(content)
            damaged[generator.randrange(len(content) - 1)] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            found = [damage.path for damage in verify_folder(finished / folder).damages]
            path.write_bytes(content)
            assert found, path
            assert set(found) <= {path, path.with_suffix(".npy")} or path.name == "checksums.jsonl", path


def test_a_cut_ledger_is_found(finished: Path) -> None:
    ledger = finished / "run" / "rounds.jsonl"
    content = ledger.read_bytes()
    ledger.write_bytes(content[: content[:-1].rfind(b"\n") + 1])
    (damage,) = verify_folder(finished / "run").damages
    ledger.write_bytes(content)
    assert damage.problem == "the file has lost lines: expected 3 or more, found 2"
    assert "cannot be recreated" in damage.remedy


def test_a_cut_egress_log_is_found(finished: Path) -> None:
    egress = finished / "run" / "sites" / "A" / "egress.jsonl"
    content = egress.read_bytes()
    egress.write_bytes(content[: content[:-1].rfind(b"\n") + 1])
    (damage,) = verify_folder(finished / "run" / "sites" / "A").damages
    egress.write_bytes(content)
    assert damage.path == egress
    assert "has lost lines" in damage.problem
    assert "inform your data protection officer" in damage.remedy


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; give a run folder"):
        verify_folder(tmp_path / "none")
