"""The folder of simulated sites, each of them a BIDS folder in it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SimulationFolder:
    """The files next to the simulated sites."""

    path: Path

    @property
    def experiment(self) -> Path:
        """An experiment file for these sites."""
        return self.path / "experiment.yaml"

    @property
    def figures(self) -> Path:
        """The folder of figures."""
        return self.path / "figures"

    @property
    def parameters(self) -> Path:
        """The arguments of the simulation, by which a stopped one is recognised."""
        return self.path / "simulation.json"
