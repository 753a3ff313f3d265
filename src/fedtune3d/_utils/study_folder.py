"""A study's folder: what is written where."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_json


@dataclass(frozen=True)
class StudyFolder:
    """The paths of a study, and the few files that the study itself reads and writes there."""

    path: Path

    @property
    def results(self) -> Path:
        """Which cell stands where: stages, what was chosen, which cells failed and why."""
        return self.path / "study.json"

    @property
    def plan(self) -> Path:
        """What the plan measured on this machine."""
        return self.path / "calibration.json"

    @property
    def lock(self) -> Path:
        """Held while the study runs."""
        return self.path / ".lock"

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.path / "report.html"

    def cell(self, name: str) -> Path:
        """The run folder of a cell."""
        return self.path / "cells" / name

    def log(self, name: str) -> Path:
        """What a cell's process wrote."""
        return self.path / "logs" / f"{name}.log"

    def read(self) -> dict[str, Any]:
        """The results. Raises `InputError` where there are none."""
        if not self.results.exists():
            raise InputError(f"{self.results}: missing, so {self.path} is no study; run `fedtune3d benchmark` first")
        return dict(json.loads(self.results.read_text(encoding="utf-8")))

    def write(self, results: dict[str, Any]) -> None:
        """Write the results."""
        write_json(self.results, results)
