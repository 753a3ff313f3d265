"""A run folder: what is written where.

It has two halves: ``sites/<name>/`` stays at the site, the rest leaves it.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_json, write_text


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run, and the few files that the run itself reads and writes there."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, without paths."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions, device, threads, and where the weights came from."""
        return self.path / "environment.json"

    @property
    def metrics_path(self) -> Path:
        """The numbers of the evaluation; there when the run is complete."""
        return self.path / "metrics.json"

    @property
    def flow(self) -> Path:
        """Site → who was left out and which split holds how many, as far as the site's policy lets counts leave."""
        return self.path / "flow.json"

    @property
    def audit(self) -> Path:
        """What the leak audit found, and who is at each site, as far as policies let counts leave."""
        return self.path / "audit.json"

    @property
    def profiles(self) -> Path:
        """The sites' intensity profiles, and the distances between them."""
        return self.path / "profiles.json"

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.path / "report.html"

    @property
    def best_checkpoint(self) -> Path:
        """The best state by validation."""
        return self.path / "checkpoints" / "best.safetensors"

    def feature_statistics(self, site: str) -> Path:
        """What the trained model's features of a site's training scans are like (`models/feature_distance.py`)."""
        return self.path / "feature_statistics" / f"{site}.safetensors"

    @property
    def saliency(self) -> Path:
        """Where the final model looks: for each site `<site>.json`, and its mean maps as NIfTI where they may leave."""
        return self.path / "saliency"

    def site(self, name: str) -> Path:
        """The half that stays at a site."""
        return self.path / "sites" / name

    def summary(self, site: str) -> Path:
        """What the site's evaluation sent."""
        return self.path / "summaries" / f"{site}.json"

    def local_rounds(self, site: str) -> Path:
        """The rounds of a site that trains alone."""
        return self.path / "baselines" / "local" / site

    def rounds_without(self, site: str) -> Path:
        """The rounds of all sites but this one."""
        return self.path / "baselines" / "leave_one_site_out" / site

    @property
    def centralized_rounds(self) -> Path:
        """The rounds of all sites pooled."""
        return self.path / "baselines" / "centralized"

    @property
    def metrics(self) -> dict[str, Any]:
        """The numbers of the evaluation. Raises `InputError` when the run is not complete."""
        if not self.metrics_path.exists():
            raise InputError(f"{self.metrics_path}: missing, the run is not complete; run it again with --resume")
        return dict(json.loads(self.metrics_path.read_text(encoding="utf-8")))

    def open(self, public: dict[str, Any], *, resume: bool) -> None:
        """Write the configuration into a new run folder, or check that the one there is the same run's.

        Baselines may be added to a run, and `explain` changed: its rounds are kept, what was evaluated is evaluated
        again beside them. A run that stopped before its first round gives way to any other.

        Raises:
            InputError: When the folder holds a run and `resume` is False, holds a run of another configuration, or
                cannot be made.
        """
        if self.config.exists() and not self._has_rounds:
            for path in (self.flow, self.audit, self.profiles, self.environment):
                path.unlink(missing_ok=True)
        elif self.config.exists():
            if not resume:
                raise InputError(f"{self.path}: already holds a run; add --resume to go on with it, or change `output`")
            before = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            differing = _differing(before, public)
            more = set(before["baselines"]) <= set(public["baselines"])
            if differing and set(differing) <= {"baselines", "explain"} and more:
                self.metrics_path.unlink(missing_ok=True)
                if "explain" in differing and self.saliency.exists():
                    shutil.rmtree(self.saliency)
                write_text(self.config, yaml.safe_dump(public, sort_keys=False))
                return
            if differing:
                raise InputError(
                    f"{self.path}: holds a run of another configuration (differs in {', '.join(differing)}); "
                    "change `output`, or undo the change to resume"
                )
            return
        try:
            if not self.config.exists() and self.path.exists() and any(self.path.iterdir()):
                raise InputError(f"{self.path}: holds files that are no run of this program; change `output`")
            write_text(self.config, yaml.safe_dump(public, sort_keys=False))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); change `output`") from error

    @property
    def _has_rounds(self) -> bool:
        """Whether a round was begun, or all is done."""
        return any((self.path / name).exists() for name in ("metrics.json", "rounds.jsonl", "checkpoints"))

    def write_metrics(self, metrics: dict[str, Any], summaries: dict[str, Any]) -> None:
        """Write the summaries, then the metrics, which mark the run as complete."""
        for site, summary in summaries.items():
            write_json(self.summary(site), summary)
        write_json(self.metrics_path, metrics)


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
