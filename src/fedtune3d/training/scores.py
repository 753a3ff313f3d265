"""Scores of a state on labelled scans."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import log_softmax

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_scores import SCORE_KINDS, ScoreKind, SiteScore
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.prediction import predict_logits

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Scores:
    """Scores of a model on labelled scans; undefined scores are None, and `why` gives the reason.

    Attributes:
        auc: Area under the ROC curve; of more than two classes the mean of those of each class against the others, over
            the classes that the scans have.
        balanced_accuracy: Mean over these classes of the share of scans that are called what they are; of two classes
            at probability 0.5.
        loss: Mean cross-entropy, unweighted; of a number the root mean squared error in units of its range. A
            server that sends states that predict one number for everybody, another in each round, learns from squared
            errors no more than the mean and the variance of the true numbers; from absolute ones it would learn
            how many people lie below each of these.
        examples: Number of scans.
        why: Why a score is undefined; None if all are defined.
    """

    auc: Share | None
    balanced_accuracy: Share | None
    loss: Annotated[float, Field(ge=0)] | None
    examples: Annotated[int, Field(ge=0)]
    why: str | None

    def for_rule(self, kind: ScoreKind) -> SiteScore | None:
        """Return the score of a kind, or the loss-based score if that kind is undefined; None for an empty set.

        Raises:
            ValueError: If the kind is unknown.
        """
        if kind not in SCORE_KINDS:
            raise ValueError(f"score kind: expected one of {', '.join(SCORE_KINDS)}, got {kind!r}")
        if self.loss is None:
            return None
        value = {"auc": self.auc, "balanced_accuracy": self.balanced_accuracy, "loss": None}[kind]
        if value is None:
            return SiteScore(1 / (1 + self.loss), "loss", self.examples)
        return SiteScore(value, kind, self.examples)


def score(assembled: AssembledModel, state: State, data: ScanSet, batch_size: int | None = None) -> Scores:
    """Score a state on a set, in evaluation mode and without augmentation; the state stays loaded in the model.

    Raises:
        InputError: If the state does not match the model.
        NotFinite: If the model's output is NaN or infinite.
    """
    assembled.write(state)
    if not len(data):
        return Scores(None, None, None, 0, "no scans")
    outputs, truth = predict_logits(assembled.model, data, batch_size), data.labels.numpy()
    if isinstance(assembled.outcome, NumberOutcome):
        return _score_numbers(outputs, truth)
    return _score_two(outputs, truth) if assembled.outcome.is_binary else _score_classes(outputs, truth)


def _score_two(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Scores:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    margins = logits[:, 1] - logits[:, 0]
    loss = float(np.logaddexp(0, np.where(labels == 1, -margins, margins)).mean())
    if len(np.unique(labels)) < 2:
        return Scores(None, None, loss, len(labels), "one class only")
    balanced = float(balanced_accuracy_score(labels, margins > 0))
    # Not `evaluation.auc.area_under_curve`: it differs in the last bit, which would change ties between rounds.
    return Scores(float(roc_auc_score(labels, margins)), balanced, loss, len(labels), None)


def _score_classes(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Scores:
    from sklearn.metrics import roc_auc_score

    log_probabilities = log_softmax(logits, axis=1)
    loss = float(-log_probabilities[np.arange(len(labels)), labels].mean())
    present = np.unique(labels)
    if len(present) < 2:
        return Scores(None, None, loss, len(labels), "one class only")
    called = logits.argmax(axis=1)
    balanced = float(np.mean([np.mean(called[labels == label] == label) for label in present]))
    aucs = [roc_auc_score(labels == label, log_probabilities[:, label]) for label in present]
    return Scores(float(np.mean(aucs)), balanced, loss, len(labels), None)


def _score_numbers(outputs: NDArray[np.float64], numbers: NDArray[np.float64]) -> Scores:
    loss = float(np.sqrt(np.mean((outputs[:, 0] - numbers) ** 2)) / 2)  # the scale of the outputs is half the range
    return Scores(None, None, loss, len(numbers), "a number has no AUC")
