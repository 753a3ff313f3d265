"""The kind of task of docs/add-a-task.md, from the page into a folder, asked of real sites behind their gates."""

import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fedtune3d.federation.tasks as folder
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Task, answers_of_all
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.serialisation import from_text, to_text
from fedtune3d.federation.tasks.registry import declared_answer, task_kinds
from fedtune3d.workflows.sites import make_sites

PAGE = Path(__file__).parents[3] / "docs" / "add-a-task.md"
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
MODULE = f"{folder.__name__}.count_women"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example as a module among the kinds of task."""
    (tmp_path / "count_women.py").write_text(EXAMPLE, encoding="utf-8")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    task_kinds.cache_clear()
    yield import_module(MODULE)
    task_kinds.cache_clear()
    sys.modules.pop(MODULE, None)


@pytest.mark.parametrize("min_people", [1, 1000])
def test_the_sites_answer_and_few_stay(
    example: Any, small_experiment: Any, write_small_site: Callable[..., None], tmp_path: Path, min_people: int
) -> None:
    for seed, name in enumerate("AB"):  # the small experiment's first six, whose prepared scans are shared
        write_small_site(tmp_path / name, people=6, seed=seed)
    values = {
        "name": "two",
        "sites": [{"name": name, "root": str(tmp_path / name), "policy": {"min_people": min_people}} for name in "AB"],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "cache": small_experiment.values["cache"],
        "output": str(tmp_path / "run"),
        "threads": 1,
    }
    experiment = Experiment.model_validate(values)
    sites = {site.name: site for site in make_sites(experiment, RunFolder(experiment.output), Silent(), workers=1)}
    gates = {
        name: PolicyGate(site, experiment, site.section.policy, site.folder, declared_answer)
        for name, site in sites.items()
    }
    answers = answers_of_all(InProcess(gates), Task(example.CountWomen()))
    counted = {answer.site: answer.expect(example.Women).women for answer in answers}
    women = {
        name: len({record.group_id for record in site.records if record.sex == "F"}) for name, site in sites.items()
    }
    assert counted == (women if min_people == 1 else dict.fromkeys(women))
    for answer in answers:
        assert from_text(example.Women, to_text(answer.payload), "the answer") == answer.payload
