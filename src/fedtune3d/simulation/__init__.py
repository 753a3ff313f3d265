"""Simulated hospital sites."""

from fedtune3d.simulation.simulate import simulate_sites

__all__ = ["simulate_sites"]
