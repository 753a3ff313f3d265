"""Creation of the sites of this process; no other code creates sites."""

from collections.abc import Callable
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.site import SiteSection
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.joint_preparation import JointPreparation
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.tasks.registry import declared_answer


def make_sites(
    experiment: Experiment,
    folder: RunFolder,
    progress: Progress,
    *,
    process_model: ProcessModel | None = None,
    workers: int | None = None,
    key: bytes | None = None,
    only: str | None = None,
) -> list[Site]:
    """Create the sites of an experiment, in its order, with one shared model.

    Args:
        experiment: The experiment.
        folder: The run folder, with each site's part.
        progress: Where the progress of preparation and encoding is shown.
        process_model: The shared model; None for a new one.
        workers: Number of processes that prepare the scans of all these sites; None for all cores
            (`preparation.prepare_all.default_processes`).
        key: Key for the leak audit, for sites that name none.
        only: The only site to create; None for all.

    Raises:
        InputError: If the experiment has no site named `only`.
    """
    sections = [section for section in experiment.sites if only in (None, section.name)]
    if not sections:
        known = ", ".join(section.name for section in experiment.sites)
        raise InputError(f"--site {only}: the experiment has no such site; its sites are {known}")
    shared = process_model or ProcessModel(experiment)
    preparation = JointPreparation(experiment, progress, workers)
    return [
        Site(experiment, section, folder.site(section.name).path, progress, shared, preparation, key=key)
        for section in sections
    ]


def behind_gate(site: Site) -> PolicyGate:
    """Return a site of this machine behind its policy; the run's owner owns the data, so nobody else is asked."""
    return PolicyGate(site, site.experiment, site.section.policy, site.folder, declared_answer)


def make_hosted_site(
    experiment: Experiment,
    section: SiteSection,
    folder: Path,
    progress: Progress,
    withdrawn: Callable[[str], bool],
) -> Site:
    """Create the site of a hospital's own process, with its own model and without the people who have withdrawn."""
    return Site(experiment, section, folder, progress, ProcessModel(experiment), withdrawn=withdrawn)
