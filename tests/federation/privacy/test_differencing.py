"""Two hundred pairs of experiments that differ in one person: no count and no statistic of both is released."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fedtune3d._utils.folders import SitePaths
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Task
from fedtune3d.federation.privacy.suppression import reveals_numbers
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.describe_people import DescribePeople
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.sites import make_hosted_site

pytest.importorskip("flwr")

from fedtune3d.federation.flower.site_host import SiteHost
from fedtune3d.federation.flower.wire import Occasion

PAIRS = 200
PEOPLE = 48
TASKS = (Task(CountScans()), Task(AssignSplits(groups={})), Task(DescribePeople()))


def write_hospital(folder: Path, write_small_site: Callable[..., None]) -> None:
    """People with two images between them, and a score."""
    write_small_site(folder / "bids", 2, seed=4)
    scores = np.random.default_rng(7).permutation(400)[:PEOPLE] / 4
    rows = ["participant_id\tdiagnosis\tscore"]
    for number in range(PEOPLE):
        name = f"sub-{number:02d}"
        rows.append(f"{name}\t{'AD' if number % 2 else 'CN'}\t{scores[number]}")
        scan = folder / "bids" / name / "anat" / f"{name}_T1w.nii.gz"
        if not scan.exists():
            scan.parent.mkdir(parents=True)
            os.link(folder / "bids" / f"sub-{number % 2:02d}" / "anat" / f"sub-{number % 2:02d}_T1w.nii.gz", scan)
    (folder / "bids" / "participants.tsv").write_text("\n".join(rows) + "\n")
    settings = {"name": "A", "server": "localhost:1", "data": "bids", "columns": ["diagnosis", "score"]}
    (folder / "site.yaml").write_text(yaml.safe_dump(settings))


def ask(folder: Path, experiment: Experiment) -> set[str]:
    """The kinds of task whose answers held numbers."""
    host = SiteHost(folder, make_hosted_site, Silent())
    gate, _ = host._open(Occasion(experiment.public(), experiment.sha256(), None))
    return {task.kind for task in TASKS if reveals_numbers(gate.answer(task), declared_answer(task.kind))}


@pytest.mark.slow
def test_of_two_experiments_that_differ_in_one_person_one_releases_numbers(
    tmp_path: Path, write_small_site: Callable[..., None]
) -> None:
    write_hospital(tmp_path, write_small_site)
    table = (tmp_path / "bids" / "participants.tsv").read_text().splitlines()
    scores = sorted(float(row.split("\t")[2]) for row in table[1:])
    rng, released = np.random.default_rng(11), 0
    for pair in range(PAIRS):
        for name in ("approvals.jsonl", "approvals.count.json", "charges.jsonl", "charges.count.json"):
            (tmp_path / name).unlink(missing_ok=True)
        cut = int(rng.integers(0, 8))
        bounds, kinds = scores[cut : cut + 2], []
        for number, bound in enumerate(rng.permutation(bounds)):
            labels = {
                "positive": f"diagnosis == AD and score >= {bound}",
                "negative": f"diagnosis == CN and score >= {bound}",
            }
            values = {
                "name": f"p{pair}-{number}",
                "seed": int(rng.integers(3)),
                "sites": [{"name": "A"}],
                "labels": labels,
            }
            values |= {"splits": {"train": 0.4, "validation": 0.3, "test": 0.3}, "model": {"encoder": "tiny"}}
            file = tmp_path / "experiment.yaml"
            file.write_text(yaml.safe_dump(values))
            approve(tmp_path, read_request(tmp_path, file))
            kinds.append(ask(tmp_path, Experiment.from_yaml(file)))
        first, second = kinds
        assert not first & second, (pair, bounds)
        released += bool(first)
    assert released > PAIRS / 2
    assert SitePaths(tmp_path).approvals.exists()
