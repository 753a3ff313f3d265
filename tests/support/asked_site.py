"""A site's folder with an experiment to approve, and a server that asks the site without a network."""

import os
from collections.abc import Callable
from pathlib import Path

import yaml

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.site_host import SiteHost
from fedtune3d.federation.flower.wire import Occasion, TensorCache, pack_task, unpack_answer
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.models.tuning import read_state
from fedtune3d.workflows.sites import make_hosted_site

STEP = {"keep_local": [], "frozen": [], "score_kind": "auc"}


def write_asked_site(folder: Path, write_small_site: Callable[..., None]) -> Path:
    """Write a site of fourteen people whose policy counts from two on, and an experiment file."""
    write_small_site(folder / "bids", 14, seed=8)
    policy = {"min_people": 2, "min_per_class": 2}
    settings = {"name": "A", "server": "localhost:1", "data": "bids", "policy": policy}
    (folder / "site.yaml").write_text(yaml.safe_dump(settings))
    values = {
        "name": "small",
        "sites": [{"name": "A"}],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "splits": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": 3},
        "threads": 1,
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(values))
    return folder


def share_images(root: Path) -> None:
    """Give everyone of a class one image, so that there are two to prepare."""
    scans = sorted(root.rglob("*_T1w.nii.gz"))
    for number, path in enumerate(scans[2:]):
        path.unlink()
        os.link(scans[number % 2], path)


class Server:
    """Sends tasks to the site in a folder."""

    def __init__(self, folder: Path) -> None:
        self.experiment = Experiment.from_yaml(folder / "experiment.yaml")
        self.host = SiteHost(folder, make_hosted_site)
        assembled = ProcessModel(self.experiment).assembled
        self.state = read_state(assembled.model, assembled.trainable)
        self.occasion = Occasion(self.experiment.public(), self.experiment.sha256(), assembled.weights.sha256)

    def ask(self, task: Task) -> Answer:
        """The answer to a task, which must be one."""
        reply = unpack_answer(
            self.host.answer(pack_task(task, self.occasion, TensorCache().array)), task, "A", self.occasion.sha256
        )
        assert isinstance(reply, Answer), reply
        return reply

    def train(self, round_: int) -> TrainAnswer:
        """The payload of an update."""
        task = Task(Train(rule="fedavg", step=STEP), round_, parts={"state": self.state})
        return self.ask(task).expect(TrainAnswer)
