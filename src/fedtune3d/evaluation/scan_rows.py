"""Rows of predictions, whatever is predicted: in the order of their names, and those of several sites together."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol, TypeVar

import numpy as np

from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.same_scans import scan_order

Rows = TypeVar("Rows", Predictions, ClassPredictions, NumberPredictions)
Shared = TypeVar("Shared", covariant=True)


class OfSite(Protocol[Shared]):
    """The checked summary of a site."""

    @property
    def scans(self) -> int:
        """Number of test scans."""

    @property
    def predictions(self) -> Shared | None:
        """The test predictions; None if they stay at the site."""


def in_scan_order(predictions: Rows) -> Rows:
    """Return the rows in the order of people and sessions."""
    rows = scan_order(predictions)
    people, sessions = (tuple(names[row] for row in rows) for names in (predictions.participants, predictions.sessions))
    arrays = (getattr(predictions, name)[rows] for name in _arrays(predictions))
    return type(predictions)(people, sessions, *arrays)


def pool(sites: Sequence[Rows]) -> Rows:
    """Pool the rows of at least one site, with participants renamed to site number and name, which sort by site."""
    first = sites[0]
    people = tuple(f"{site:06d}/{name}" for site, part in enumerate(sites) for name in part.participants)
    sessions = tuple(name for part in sites for name in part.sessions)
    arrays = (np.concatenate([getattr(part, name) for part in sites]) for name in _arrays(first))
    return type(first)(people, sessions, *arrays)


def pool_if_shared(parts: Sequence[OfSite[Rows]]) -> Rows | None:
    """Pool all sites' predictions; None if no site has test scans, or one that has some does not share them."""
    with_scans = [part for part in parts if part.scans]
    shared = [part.predictions for part in with_scans if part.predictions is not None]
    return pool(shared) if shared and len(shared) == len(with_scans) else None


def _arrays(predictions: Rows) -> list[str]:
    """Return the names of the fields after people and sessions: arrays with one row per scan."""
    return [field.name for field in fields(predictions)[2:]]
