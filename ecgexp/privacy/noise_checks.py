"""Proof of execution: whether the noise that was added is the noise that was priced."""

import math
from dataclasses import dataclass

from ecgexp.privacy.ledger import PrivacyViolation

_ENOUGH = 256  # fewer values are not judged
_STANDARD_ERRORS = 8.0  # with 256 values or more, a correct run fails with a chance below 1e-10
_STD_TOLERANCE = 0.03


@dataclass(frozen=True, kw_only=True)
class NoiseStatistics:
    """Sums over the noise of some steps, taken where it was added; records of further steps add up.

    Attributes:
      values: how many.
      squares: sum of their squares.
      pairs: how many values were held against those at the same place one step before.
      products: sum of the products of these pairs.
    """

    values: float = 0.0
    squares: float = 0.0
    pairs: float = 0.0
    products: float = 0.0

    def __add__(self, other: "NoiseStatistics") -> "NoiseStatistics":
        return NoiseStatistics(
            values=self.values + other.values, squares=self.squares + other.squares, pairs=self.pairs + other.pairs,
            products=self.products + other.products,
        )  # fmt: skip

    @property
    def std(self) -> float:
        """The measured standard deviation."""
        return math.sqrt(self.squares / self.values) if self.values else 0.0

    def metrics(self, planned_std: float) -> dict[str, float]:
        """For the log: what was measured, to a whole percent, beside what was planned.

        Not more exactly, because a guess of the sum of gradients could be tested by the exact norm of the noise on it.
        """
        measured = round(self.std / planned_std, 2) * planned_std if planned_std else self.std
        return {"noise_std": measured, "noise_std_planned": planned_std}

    @property
    def is_enough(self) -> bool:
        """Whether `check` has something to go by."""
        return self.values >= _ENOUGH

    def check(self, planned_std: float) -> None:
        """Refuses noise of another strength than planned, and noise that repeats that of the step before.

        The measured standard deviation may be off by 3 %, or by 8 standard errors where there are fewer than 36 000 values.

        Raises:
          PrivacyViolation: with the measured and the planned number.
        """
        is_silent = (
            self.values > 0 and not self.squares and planned_std > 0
        )  # refused however few values there are
        if not (self.is_enough or is_silent):
            return
        tolerance = max(_STD_TOLERANCE, _STANDARD_ERRORS / math.sqrt(2 * self.values))
        if is_silent or not abs(self.std - planned_std) <= tolerance * planned_std:
            raise PrivacyViolation(
                f"the noise that was added has standard deviation {self.std:.6g} and {planned_std:.6g} was planned: "
                "the run makes no claim"
            )
        if self.pairs >= _ENOUGH and planned_std:
            correlation = self.products / (self.pairs * planned_std**2)
            if not abs(correlation) * math.sqrt(self.pairs) <= _STANDARD_ERRORS:
                raise PrivacyViolation(
                    f"the noise of one step is correlated with that of the step before ({correlation:.2f}): "
                    "the run makes no claim"
                )
