"""Simulated hospital sites."""
