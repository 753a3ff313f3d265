"""Sites that really train a head, on features drawn from a seed and held in memory."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from fedtune3d._utils.folders import MaskingPaths
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.secure_aggregation.key_files import make_identity
from fedtune3d.federation.privacy.secure_aggregation.site_part import SitePart
from fedtune3d.federation.site.local_trainer import LocalTrainer
from fedtune3d.federation.site.masked_updates import MaskedUpdates
from fedtune3d.federation.tasks.registry import task_kind
from fedtune3d.training.dataset import ScanSet


class Drawn(ScanSet):
    """Features drawn from a seed, held in memory."""

    def __init__(self, site: str, split: str, count: int, first_stage: int) -> None:
        rng = numpy_rng("soak", site, split)
        labels = [number % 2 for number in range(count)]
        super().__init__(labels, first_stage)
        values = rng.normal(size=(count, 384, 1, 1, 1)) + 0.2 * np.array(labels)[:, None, None, None, None]
        self.features = torch.from_numpy(values).float()

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return self.features[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


class Member(LocalTrainer):
    """A site that really trains the head, on drawn features."""

    max_share = 0.6

    def answer(self, task: Task) -> Answer:
        return task_kind(task.kind).handler(self, task)  # type: ignore[arg-type]

    @cached_property
    def masked(self) -> MaskedUpdates:  # type: ignore[override]
        paths = MaskingPaths(self.memory.folder.parent / f"masking-{self.name}")
        return MaskedUpdates(
            self.name, self.experiment.sha256(), paths, SitePart(make_identity(paths.signing_key), None, self.max_share)
        )

    def scans(self, split: str) -> ScanSet:
        count = {"A": 6, "B": 10, "C": 8, "D": 4}[self.name]
        return Drawn(self.name, split, count, self.process_model.assembled.model.stage_count - 1)  # type: ignore[arg-type]

    def people(self, split: str) -> int:
        return len(self.scans(split))


class Killed(BaseException):
    """The process is gone: nothing may catch it."""
