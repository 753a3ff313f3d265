"""Choice of the round whose state is evaluated, from the sites' validation of each round's state."""

import math
from collections.abc import Sequence
from statistics import fmean

from fedtune3d.evaluation.auc_interval import away_from_ends, newcombe_variance
from fedtune3d.federation.ledger import Validation
from fedtune3d.training.scores import Scores
from fedtune3d.training.settings import BestRound

WINDOW = 5
"""Rounds over which the mean validation AUC is smoothed: a round and the four before it."""


def is_best(validation: Validation, earlier: Sequence[Validation], choice: BestRound) -> bool:
    """Decide whether a state takes the place of the best state so far.

    ``latest_within_error``: the mean AUC of the last `WINDOW` rounds, and that of the round alone, are at most one
    standard error below the greatest such mean so far. With a handful of validation scans the best single round is
    chosen by chance; a state that is as good as any within error, and has trained longest, is not (the
    one-standard-error rule of Breiman et al. 1984).
    ``highest_auc``: the mean AUC is higher than ever, ties going to the lower loss, then to the earlier round.
    ``last``: always. Without an AUC at any site the lowest loss decides, save for ``last``.

    Args:
        validation: Of the state.
        earlier: Of the rounds before it, in their order, without the untrained state of round 0.
        choice: How to choose.

    References:
        Breiman, Friedman, Olshen and Stone, 1984, Classification and Regression Trees, section 3.4.3.
    """
    if choice == "last" or not earlier:
        return True
    if choice == "latest_within_error" and validation.mean_auc is not None:
        aucs = [part.mean_auc for part in (*earlier, validation) if part.mean_auc is not None]
        smooth = [fmean(aucs[max(0, end - WINDOW) : end]) for end in range(1, len(aucs) + 1)]
        return min(smooth[-1], validation.mean_auc) >= max(smooth) - (validation.auc_error or 0.0)
    return validation.rank > max(part.rank for part in earlier)


def mean_auc_error(scores: Sequence[Scores]) -> float | None:
    """The standard error of the mean AUC over sites by Newcombe's variance; None without an AUC.

    A site sends how many scans it scored, not of which class, so half of each is assumed: with other shares the error
    is a little greater.
    """
    variances = []
    for score in scores:
        if score.auc is not None:
            of_class = max(1.0, score.examples / 2)
            variances.append(newcombe_variance(away_from_ends(score.auc, of_class, of_class), of_class, of_class))
    return math.sqrt(math.fsum(variances)) / len(variances) if variances else None
