"""The sites of this process: the only place that makes them."""

from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.site import SiteSection
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.site import Site


def make_sites(
    experiment: Experiment,
    folder: RunFolder,
    progress: Progress,
    *,
    process_model: ProcessModel | None = None,
    workers: int = 2,
    key: bytes | None = None,
    only: str | None = None,
) -> list[Site]:
    """Make the sites of an experiment, in its order, around one shared model.

    Args:
        experiment: Names the sites and their folders.
        folder: Of the run, with the half of each site.
        progress: Where preparing and encoding are shown.
        process_model: The model that the sites share; None for a new one.
        workers: Processes that prepare scans.
        key: Of the leak audit, for sites that name none.
        only: The one site to make; None for all.

    Raises:
        InputError: If the experiment has no site named `only`.
    """
    sections = [section for section in experiment.sites if only in (None, section.name)]
    if not sections:
        known = ", ".join(section.name for section in experiment.sites)
        raise InputError(f"--site {only}: no site of the experiment; it has {known}")
    shared = process_model or ProcessModel(experiment)
    return [
        Site(experiment, section, folder.site(section.name).path, progress, shared, workers, key=key)
        for section in sections
    ]


def make_hosted_site(experiment: Experiment, section: SiteSection, folder: Path, progress: Progress) -> Site:
    """Make the one site of a hospital's own process, with a model of its own."""
    return Site(experiment, section, folder, progress, ProcessModel(experiment))
