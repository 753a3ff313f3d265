"""Differential privacy at a site: what a run costs each person, and the budget over all runs."""
