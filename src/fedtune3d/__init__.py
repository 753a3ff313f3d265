"""Federated fine-tuning of 3D medical foundation models, without a scan leaving its site.

>>> from fedtune3d import Experiment, run
>>> experiment = Experiment.from_yaml("experiment.yaml")  # doctest: +SKIP
>>> folder = run(experiment, resume=True)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from fedtune3d._utils.version import __version__

if TYPE_CHECKING:
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.workflows.run import run_experiment as run

__all__ = ["Experiment", "__version__", "run"]


def __getattr__(name: str) -> object:
    """Import `Experiment` and `run` on first use, so that `fedtune3d --help` does not wait for torch."""
    if name == "Experiment":
        from fedtune3d.config.experiment import Experiment

        return Experiment
    if name == "run":
        from fedtune3d.workflows.run import run_experiment

        return run_experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
