"""Predictions in, numbers out."""

from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import combine, summarise

__all__ = ["Predictions", "combine", "summarise"]
