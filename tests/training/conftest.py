"""Small models on the real `tiny` encoder, and prepared scans on disk."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, Trainable, Tuning, apply_tuning
from fedtune3d.training.dataset import LabelledScan

BuildModel = Callable[..., tuple[Classifier, Trainable]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and other work on the machine then slows them far less."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a feature cache that tests may share: what is in it follows from its keys."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def build_model() -> BuildModel:
    """Builds the tiny classifier with a head and a tuning; the same weights each time."""

    def build(tuning: Tuning | None = None, head: str = "linear") -> tuple[Classifier, Trainable]:
        encoder = build_encoder("tiny")
        initialise_random(encoder, 1)
        model = Classifier(encoder, build_head(head, encoder.out_channels, 2))
        return model, apply_tuning(model, tuning or Frozen(), 3)

    return build


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledScan]:
    """Ten prepared scans of noise in a box; the positives are brighter in one corner of it."""
    folder = tmp_path_factory.mktemp("prepared")
    return [write_scan(folder, f"scan{number}", number % 2) for number in range(10)]


def write_scan(folder: Path, name: str, label: int) -> LabelledScan:
    """A prepared scan on disk."""
    voxels = np.zeros((128, 128, 128), np.float16)
    voxels[32:96, 20:108, 32:96] = numpy_rng("scan", name).standard_normal((64, 88, 64))
    voxels[32:64, 20:64, 32:64] += 2 * label
    np.save(folder / f"{name}.npy", voxels)
    return LabelledScan(folder / f"{name}.npy", label, "A")
