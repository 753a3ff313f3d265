"""An estimate with its 95% CI and the method, or the reason why it is undefined."""

from dataclasses import dataclass
from typing import Literal

FEW = 10
"""With fewer participants in a class, an estimate is marked 'few' and has an interval for small samples."""

Z = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""

NO_VARIANCE = "the estimated variance of the difference is 0"
"""Why a difference that is not 0 has no interval: it is the same for every person of a class, as among few people."""


@dataclass(frozen=True)
class Estimate:
    """An estimate: `value`, `low` and `high` are numbers, or all three are None and `undefined` gives the reason."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    mark: Literal["few"] | None
    undefined: str | None

    @property
    def limits(self) -> tuple[float, float, float] | None:
        """Value, lower and upper limit; None if the estimate is undefined."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return self.value, self.low, self.high


def defined(value: float, interval: tuple[float, float], method: str, few: bool) -> Estimate:
    """Create an estimate with its interval."""
    low, high = interval
    return Estimate(
        value=float(value), low=float(low), high=float(high), method=method, mark="few" if few else None, undefined=None
    )


def undefined(why: str) -> Estimate:
    """Create an undefined estimate with the reason."""
    return Estimate(value=None, low=None, high=None, method="", mark=None, undefined=why)
