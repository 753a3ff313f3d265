"""The folder of a cross-validation."""

from pathlib import Path

from fedtune3d._utils.folders.reported import ReportedFolder
from fedtune3d._utils.folders.run import RunFolder


class CrossValidationFolder(ReportedFolder):
    """The paths of a cross-validation."""

    @property
    def results(self) -> Path:
        """The measures of each fold, their means with intervals, and the folds that failed."""
        return self.path / "cross_validation.json"

    @property
    def table(self) -> Path:
        """The measures of each fold at each site, as a table."""
        return self.path / "tables" / "folds.tsv"

    def fold(self, name: str) -> RunFolder:
        """The run folder of a fold."""
        return RunFolder(self.path / "folds" / name)

    @property
    def begun(self) -> list[RunFolder]:
        """The run folders of the folds that have begun, sorted."""
        runs = [RunFolder(path) for path in sorted((self.path / "folds").glob("*/"))]
        return [run for run in runs if run.config.exists()]

    def log(self, fold: str) -> Path:
        """Standard error of a fold's process."""
        return self.path / "logs" / f"{fold}.log"
