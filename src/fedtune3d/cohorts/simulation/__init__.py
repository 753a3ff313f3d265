"""Simulated hospital sites."""

from fedtune3d.cohorts.simulation.simulate import simulate_sites

__all__ = ["simulate_sites"]
