"""Lines that say what an experiment is, for `plan` and `check`: encoder and weights, and who is included."""

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from fedtune3d.config.experiment import ExperimentKeys
from fedtune3d.models.encoders.contract import Release
from fedtune3d.models.packaged_weights import packaged_encoders, packaged_file


def encoder_line(experiment: ExperimentKeys) -> str:
    """Name the encoder and its weights: `encoder: deepbet, pre-trained (deepbet 1.0.2)`."""
    name, weights, spec = experiment.model.encoder, experiment.model.weights, experiment.encoder
    if spec is None:
        return f"Encoder: none ({name} is trained from scratch)"
    if isinstance(weights, Path):
        return f"Encoder: {name}, pre-trained ({weights.name})"
    if weights == "random" or spec.release is None:
        return f"Encoder: {name}, random weights"
    return f"Encoder: {name}, pre-trained ({_package(spec.release)})"


def included_lines(experiment: ExperimentKeys) -> list[str]:
    """Give the criterion of each site that has one, once if all share it."""
    return [f"Include{f' at {site}' if site else ''}: {criterion}" for site, criterion in _criteria(experiment)]


def inclusion_sentences(experiment: ExperimentKeys) -> Iterator[str]:
    """Say in sentences who was included; nothing if everybody was."""
    for site, criterion in _criteria(experiment):
        where = f"At site {site}, only" if site else "Only"
        yield f"{where} scans that met “{criterion}” in the table of participants or sessions were included."


def random_weights_warnings(experiment: ExperimentKeys) -> list[str]:
    """Warn of random weights of an encoder that has pre-trained ones, and name what comes pre-trained here.

    An encoder of which no weights are released, such as one of the user's own, cannot be otherwise.
    """
    spec = experiment.encoder
    if spec is None or spec.release is None or experiment.model.weights != "random":
        return []
    if spec.is_packaged:
        return [
            f"encoder {spec.name} has random weights, but comes with pre-trained ones ({spec.release.source}): unless "
            "it is a control, leave out model.weights"
        ]
    here = "".join(
        f", or change to model: {{encoder: {other.name}, head: {other.head}}}, which comes pre-trained and is installed"
        for other in packaged_encoders()
        if other.release is not None and packaged_file(other.release) is not None
    )
    return [
        f"encoder {spec.name} has random weights, so nothing is fine-tuned: unless it is a control, give its released "
        f"ones with model.weights: {spec.release.file} (docs/weights.md){here}"
    ]


def _criteria(experiment: ExperimentKeys) -> list[tuple[str, str]]:
    """Pair sites with their criteria; the site is empty if all share one."""
    criteria = {site.name: experiment.criterion_of(site) for site in experiment.sites}
    if len(set(criteria.values())) == 1:
        criteria = {"": next(iter(criteria.values()))}
    return [(site, criterion) for site, criterion in criteria.items() if criterion is not None]


def _package(release: Release) -> str:
    """Name the package with its version here; without one where it is not installed."""
    try:
        return f"{release.package} {importlib.metadata.version(release.package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{release.package}, which is not installed"
