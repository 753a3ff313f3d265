"""A study's folder."""

from pathlib import Path

from fedtune3d._utils.folders.reported import ReportedFolder
from fedtune3d._utils.folders.run import RunFolder


class StudyFolder(ReportedFolder):
    """The paths of a study."""

    @property
    def results(self) -> Path:
        """The trials of each stage, the choices made between stages, and the trials that failed."""
        return self.path / "study.json"

    @property
    def costs(self) -> Path:
        """The costs that the plan measured on this machine."""
        return self.path / "costs.json"

    @property
    def efficiency_table(self) -> Path:
        """The costs of every combination, as a table."""
        return self.path / "tables" / "efficiency.tsv"

    def trial(self, name: str) -> RunFolder:
        """The run folder of a trial."""
        return RunFolder(self.path / "trials" / name)

    def log(self, trial: str) -> Path:
        """Standard error of a trial's process."""
        return self.path / "logs" / f"{trial}.log"
