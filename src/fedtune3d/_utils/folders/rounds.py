"""Files of the round loop: the ledger, checkpoints, the rule's memory, updates in transit."""

from dataclasses import dataclass
from pathlib import Path

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class RoundsPaths:
    """The files of one run of the round loop; a run folder holds one, and one for each baseline below it."""

    path: Path

    @property
    def ledger(self) -> Path:
        """One JSON line per committed round."""
        return self.path / "rounds.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of all states below."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The global state after the last committed round."""
        return self.checkpoints / f"last{_SUFFIX}"

    @property
    def best(self) -> Path:
        """The best global state by validation."""
        return self.checkpoints / f"best{_SUFFIX}"

    @property
    def spool(self) -> Path:
        """The folder of the updates of the current round."""
        return self.path / "spool"

    def update(self, site: str, part: str) -> Path:
        """One part of a site's update in the current round."""
        return self.spool / f"{site}.{part}{_SUFFIX}"

    @property
    def sum_record(self) -> Path:
        """How far the secure sum of the current round has come."""
        return self.path / "sum" / "record.json"

    @property
    def masked_sum(self) -> Path:
        """The sum of the masked updates of the current round."""
        return self.path / "sum" / f"masked{_SUFFIX}"

    def rule_memory(self, round_: int) -> Path:
        """The aggregation rule's memory after a round."""
        return self.checkpoints / f"rule-{round_:05d}{_SUFFIX}"

    def rule_memories(self) -> list[Path]:
        """The saved memories of the rule, oldest first."""
        return sorted(self.checkpoints.glob(f"rule-*{_SUFFIX}"))
