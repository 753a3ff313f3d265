"""Material for a paper on a run: its methods as text, and the TRIPOD+AI checklist."""

from dataclasses import dataclass

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d.report.methods import Methods, experiment_of, finished, methods_markdown, methods_of
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.tripod import TripodRow, tripod_markdown, tripod_rows


@dataclass(frozen=True)
class ForPaper:
    """The texts for a paper."""

    methods: Methods
    checklist: list[TripodRow]


def for_paper(contents: RunContents) -> ForPaper | None:
    """Write the texts of a finished run; None while it continues, or if parts of it are not installed here."""
    run, experiment = finished(contents), experiment_of(contents)
    if run is None or experiment is None:
        return None
    return ForPaper(methods_of(run, experiment), tripod_rows(run, experiment))


def save_for_paper(texts: ForPaper, folder: RunFolder) -> None:
    """Write both texts as Markdown into a run folder."""
    write_text(folder.methods, methods_markdown(texts.methods))
    write_text(folder.tripod, tripod_markdown(texts.checklist))
