"""The ledger of the rounds, ``rounds.jsonl``: one typed, hash-chained line per round."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.ledgers import append_line, read_lines
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.federation.privacy.differential_privacy.spending import Spent
from fedtune3d.training.scores import Scores

_ADVICE = "damaged, or written by another version of fedtune3d; run again into a new folder"


@dataclass(frozen=True)
class SiteEntry:
    """One site in one round; None for values that it did not send.

    Attributes:
        participated: Whether its update was accepted.
        bytes_down: Bytes of the tensors sent to the site, and of the steps of secure aggregation.
        bytes_up: Bytes of the tensors sent by the site; its keys, shares and signatures included.
        fault: Why there is no update, in one line.
        weight: Its share in the average; None if the rule has no weights.
        signals: All numbers of this site that the rule used.
        examples: Number of training scans.
        loss: Mean training cross-entropy.
        received: Validation scores of the global state that it received.
        sent: Validation scores of the state that it sent back.
        seconds: Wall time of the task at the site.
        peak_memory_bytes: Peak memory of the task: of the GPU, or on a CPU of the host above what the process held
            before its model, or an earlier task's if that was higher (`PeakMemory`).
        spent: What the run has cost each person in training there, by what the site says.
    """

    participated: bool = False
    bytes_down: int = 0
    bytes_up: int = 0
    fault: str | None = None
    weight: float | None = None
    signals: dict[str, float] = field(default_factory=dict)
    examples: int | None = None
    loss: float | None = None
    received: Scores | None = None
    sent: Scores | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    spent: Spent | None = None

    @property
    def bytes_both_ways(self) -> int:
        """Bytes sent to the site and back."""
        return self.bytes_down + self.bytes_up


@dataclass(frozen=True)
class Validation:
    """Validation of one global state over all sites that scored it.

    Attributes:
        state_round: The round after which the state was the global state.
        mean_auc: Mean AUC over the sites at which it is defined; None if there are none.
        pooled_loss: Mean loss (`Scores.loss`) over all validation scans; None if there are none.
        auc_error: Standard error of `mean_auc`; None if there is none.
    """

    state_round: int
    mean_auc: float | None
    pooled_loss: float | None
    auc_error: float | None = None

    def score(self, outcome: Outcome) -> float | None:
        """Return what models are compared by: the mean AUC, or of a number the root mean squared error in its unit."""
        if not isinstance(outcome, NumberOutcome):
            return self.mean_auc
        return None if self.pooled_loss is None else self.pooled_loss * outcome.span

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, higher is better: AUC first, then loss."""
        return (
            -math.inf if self.mean_auc is None else self.mean_auc,
            -math.inf if self.pooled_loss is None else -self.pooled_loss,
        )


@dataclass(frozen=True)
class SecureSum:
    """How the sum of a round was formed without anybody seeing an update.

    Attributes:
        attempt: Which attempt succeeded, from 1.
        offered: The sites that offered keys.
        dealt: Those that shared their secrets; the coefficients are of these.
        summed: Those whose updates are in the sum.
        needed: The fewest sites that could unmask it.
        adjusted: Sites whose weight was cut to `privacy.max_share` of the sum, or raised to count at all.
    """

    attempt: int
    offered: tuple[str, ...]
    dealt: tuple[str, ...]
    summed: tuple[str, ...]
    needed: int
    adjusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class LedgerLine:
    """One round of training, or the scoring of the last state.

    Attributes:
        round: The round, from 1; the final scoring is numbered one after the last training round.
        kind: ``"train"``, or ``"score"`` for the final scoring, in which no site trains.
        seconds: Wall time at the server.
        sites: Site → its entry, sorted by name.
        validation: Validation of the global state that the sites received.
        rule: The name of the aggregation rule; None in the final scoring.
        signals: Numbers that the rule reports for the whole round.
        faults_before: For each earlier attempt without a quorum, site → fault.
        secure: How the sum was formed under secure aggregation; None where the server saw each update.
    """

    round: int
    kind: Literal["train", "score"]
    seconds: float
    sites: dict[str, SiteEntry]
    validation: Validation
    rule: str | None = None
    signals: dict[str, float] = field(default_factory=dict)
    faults_before: tuple[dict[str, str], ...] = ()
    secure: SecureSum | None = None

    @property
    def trains(self) -> bool:
        """True for a training round."""
        return self.kind == "train"


def append_ledger_line(path: Path, line: LedgerLine) -> int:
    """Append a line to the ledger and return the new number of lines. Raises as `append_line`."""
    return append_line(path, to_json(line)).lines


def read_ledger(path: Path) -> list[LedgerLine]:
    """Read and verify a ledger, without a last line that is still being written; empty if there is no file yet.

    Raises:
        DamagedFileError: If a line is not what was written; names the first such line.
        StorageError: If the file cannot be read.
    """
    return [_read_line(path, number, value) for number, value in enumerate(read_lines(path), start=1)]


def _read_line(path: Path, number: int, value: object) -> LedgerLine:
    try:
        return from_json(LedgerLine, value)
    except ValueError as error:
        raise DamagedFileError(path, f"has an unexpected line {number} ({error})", _ADVICE) from error
