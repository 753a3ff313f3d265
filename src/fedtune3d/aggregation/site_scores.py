"""Scores that a site sends for a rule: of the received state, the sent state, and others that the rule's step names."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

ScoreKind = Literal["auc", "balanced_accuracy", "loss"]
"""Kinds of score, all in [0, 1], higher is better. ``"loss"`` means 1 / (1 + mean cross-entropy), which a site uses if
the kind that its step asks for is undefined, such as AUC on a validation set of one class."""

SCORE_KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)

RECEIVED_SCORE = "received_score"
"""Name of the score, on the site's own validation set, of the received state."""

SENT_SCORE = "sent_score"
"""Name of the score, on the site's own validation set, of the state that the site sends back."""


@dataclass(frozen=True)
class SiteScore:
    """A score on a site's validation set. A site without a validation set sends none; a score is never NaN.

    Attributes:
        value: The score in [0, 1]; higher is better.
        kind: How it was computed.
        examples: Number of validation scans, at least 1.

    Raises:
        ValueError: If the value, kind or count is out of range.
    """

    value: Annotated[float, Field(ge=0, le=1)]
    kind: ScoreKind
    examples: Annotated[int, Field(ge=1)]

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not 0 <= self.value <= 1:
            raise ValueError(f"score: expected a number from 0 to 1, got {self.value!r}")
        if self.kind not in SCORE_KINDS:
            raise ValueError(f"score kind: expected one of {', '.join(SCORE_KINDS)}, got {self.kind!r}")
        if self.examples < 1:
            raise ValueError(f"score: expected at least 1 validation scan, got {self.examples}")

    @property
    def by_loss(self) -> bool:
        """True if the value was computed from the loss."""
        return self.kind == "loss"
