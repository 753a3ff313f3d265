"""Federated fine-tuning of 3D medical foundation models, without a scan leaving its site."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedtune3d.config.experiment import Experiment

__version__ = "0.1.0"
__all__ = ["Experiment", "__version__"]


def __getattr__(name: str) -> Any:
    """`Experiment`, read when it is first asked for: the command line's help should not wait for torch."""
    if name == "Experiment":
        from fedtune3d.config.experiment import Experiment

        return Experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
