"""The outcomes that people are simulated for: two classes, three classes, or their age."""

from enum import StrEnum


class SimulatedOutcome(StrEnum):
    """The outcome that a simulation is made to be predicted from."""

    CN_AD = "cn-ad"
    CN_MCI_AD = "cn-mci-ad"
    AGE = "age"

    @property
    def diagnoses(self) -> tuple[str, ...]:
        """The diagnoses, from the least to the most severe; one if all people are healthy."""
        return {"cn-ad": ("CN", "AD"), "cn-mci-ad": ("CN", "MCI", "AD"), "age": ("CN",)}[self.value]
