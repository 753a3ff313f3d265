"""Encoders, heads and reference models, and which of their parameters are trained."""
