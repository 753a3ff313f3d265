"""Base of the folders of a run and of a study: a report with its figures."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportedFolder:
    """A folder with a report."""

    path: Path

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """The figures of the report, each as SVG, PNG and the table behind it."""
        return self.path / "figures"
