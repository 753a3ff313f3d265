"""A run folder. It has two halves: ``sites/<name>/`` stays at the site, the rest may leave it."""

from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.folders.export import ExportFolder
from fedtune3d._utils.folders.reported import ReportedFolder
from fedtune3d._utils.folders.rounds import RoundsPaths
from fedtune3d._utils.folders.site import SiteFolder

CONFIG = "config.yaml"
DEFAULT_OUTPUT = "runs"
"""Default output folder of an experiment without `output`, next to its file."""


class RunFolder(ReportedFolder):
    """The paths of one run."""

    @property
    def config(self) -> Path:
        """The resolved configuration, without paths."""
        return self.path / CONFIG

    @property
    def environment(self) -> Path:
        """Versions, device, threads, and where the weights came from."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """The results of the evaluation; written last, so its presence marks a complete run."""
        return self.path / "metrics.json"

    @property
    def methods(self) -> Path:
        """The methods as text for a paper, in Markdown."""
        return self.path / "methods.md"

    @property
    def tripod(self) -> Path:
        """The TRIPOD+AI checklist, filled as far as a program can, in Markdown."""
        return self.path / "tripod_ai.md"

    @property
    def flow(self) -> Path:
        """Site → participants left out and in each split, as far as the site's policy lets counts leave."""
        return self.path / "flow.json"

    @property
    def audit(self) -> Path:
        """Findings of the leak audit, and the description of each site's participants, as far as policies allow."""
        return self.path / "audit.json"

    @property
    def profiles(self) -> Path:
        """The sites' intensity profiles, and the distances between them."""
        return self.path / "profiles.json"

    @property
    def absences(self) -> Path:
        """Sites that were left out of a step outside the rounds, and why."""
        return self.path / "absences.json"

    def log(self, name: str) -> Path:
        """The folder of a log by its name, ``tensorboard`` or ``mlflow``."""
        return self.path / name

    @property
    def rounds(self) -> RoundsPaths:
        """The federated rounds."""
        return RoundsPaths(self.path)

    @property
    def worker_messages(self) -> Path:
        """The folder of messages between the processes of a run; absent unless one is in progress or was killed."""
        return self.path / "spool-workers"

    @property
    def site_folders(self) -> list[SiteFolder]:
        """The halves that stay at the sites, of those sites that have one, sorted."""
        return [SiteFolder(path) for path in sorted((self.path / "sites").glob("*/"))]

    @property
    def best_checkpoint(self) -> Path:
        """The best state by validation."""
        return self.rounds.best

    @property
    def feature_statistics_folder(self) -> Path:
        """The folder of all sites' feature statistics."""
        return self.path / "feature_statistics"

    def feature_statistics(self, site: str) -> Path:
        """Mean and covariance of the trained model's features of a site's training scans."""
        return self.feature_statistics_folder / f"{site}.safetensors"

    @property
    def saliency(self) -> Path:
        """The folder of the sites' mean saliency maps of the final model."""
        return self.path / "saliency"

    def saliency_info(self, site: str) -> Path:
        """A site's answer about its mean maps, as JSON."""
        return self.saliency / f"{site}.json"

    def saliency_map(self, site: str, state: str) -> Path:
        """A site's mean map of the trained model or of one with random weights, where maps may leave the site."""
        return self.saliency / f"{site}_{state}.nii.gz"

    def site(self, name: str) -> SiteFolder:
        """The half that stays at a site."""
        return SiteFolder(self.path / "sites" / name)

    def summary(self, site: str) -> Path:
        """The summary that the site's evaluation sent."""
        return self.path / "summaries" / f"{site}.json"

    def local_rounds(self, site: str) -> RoundsPaths:
        """The rounds of a site that trains alone."""
        return RoundsPaths(self.path / "baselines" / "local" / site)

    def rounds_without(self, site: str) -> RoundsPaths:
        """The rounds of all sites but this one."""
        return RoundsPaths(self.path / "baselines" / "leave_one_site_out" / site)

    @property
    def centralized_rounds(self) -> RoundsPaths:
        """The rounds of all sites pooled."""
        return RoundsPaths(self.path / "baselines" / "centralized")

    @property
    def baseline_ledgers(self) -> list[Path]:
        """The ledgers of the baselines' rounds that have begun, sorted."""
        return sorted((self.path / "baselines").rglob(self.rounds.ledger.name))

    @property
    def centralized_memory(self) -> Path:
        """The folder of the pooled sites' memory."""
        return self.centralized_rounds.path / "memory"

    @property
    def export(self) -> ExportFolder:
        """Default output folder of `export`."""
        return ExportFolder(self.path / "export")


@dataclass(frozen=True)
class MlflowPaths:
    """The folder of MLflow in a run folder."""

    path: Path

    @property
    def run_id(self) -> Path:
        """The run's own id, which is tagged in the store."""
        return self.path / "run_id.txt"

    @property
    def store(self) -> Path:
        """The SQLite store, where no other is given."""
        return self.path / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of artifacts of that store."""
        return self.path / "artifacts"
