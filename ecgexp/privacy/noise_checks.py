"""Noise checks: whether added noise has the planned standard deviation and is not repeated.

They find noise that is missing, scaled wrongly or used in two steps in a row. They do not show that
noise is Gaussian, independent over longer distances or within a step, or unknown to others.
"""

import math
from dataclasses import dataclass

from ecgexp.privacy.ledger import PrivacyViolation

_ENOUGH = 256  # fewer values are not checked
_STANDARD_ERRORS = 8.0  # with 256 values or more, a correct run fails with probability < 1e-10
_STD_TOLERANCE = 0.03


@dataclass(frozen=True, kw_only=True)
class NoiseStatistics:
    """Sums over the noise of some steps, computed where it was added; `+` combines them.

    Attributes:
      values: number of noise values.
      squares: sum of their squares.
      pairs: number of values that were compared with the value at the same place one step before.
      products: sum of the products of these pairs.
    """

    values: float = 0.0
    squares: float = 0.0
    pairs: float = 0.0
    products: float = 0.0

    def __add__(self, other: "NoiseStatistics") -> "NoiseStatistics":
        return NoiseStatistics(
            values=self.values + other.values,
            squares=self.squares + other.squares,
            pairs=self.pairs + other.pairs,
            products=self.products + other.products,
        )

    @property
    def std(self) -> float:
        """The measured standard deviation."""
        return math.sqrt(self.squares / self.values) if self.values else 0.0

    def metrics(self, planned_std: float) -> dict[str, float]:
        """Return the measured and the planned standard deviation, for the log.

        The measured one is rounded to a whole percent, because the exact norm of the noise could
        be used to test a guess of the sum of gradients.

        Args:
          planned_std: standard deviation in the plan.
        """
        measured = round(self.std / planned_std, 2) * planned_std if planned_std else self.std
        return {"noise_std": measured, "noise_std_planned": planned_std}

    @property
    def is_enough(self) -> bool:
        """Whether there are enough values for `check`."""
        return self.values >= _ENOUGH

    def check(self, planned_std: float) -> None:
        """Check that the noise has the planned strength and does not repeat the step before.

        The measured standard deviation may differ by 3 %, or by 8 standard errors where there are
        fewer than 36 000 values. Noise that is exactly zero is refused for any number of values.

        Args:
          planned_std: standard deviation in the plan.

        Raises:
          PrivacyViolation: the noise differs; the message has the measured and the planned number.
        """
        is_silent = self.values > 0 and not self.squares and planned_std > 0
        if not (self.is_enough or is_silent):
            return
        tolerance = max(_STD_TOLERANCE, _STANDARD_ERRORS / math.sqrt(2 * self.values))
        if is_silent or not abs(self.std - planned_std) <= tolerance * planned_std:
            raise PrivacyViolation(
                f"the noise that was added has standard deviation {self.std:.6g} and "
                f"{planned_std:.6g} was planned: the run has no privacy guarantee"
            )
        if self.pairs >= _ENOUGH and planned_std:
            correlation = self.products / (self.pairs * planned_std**2)
            if not abs(correlation) * math.sqrt(self.pairs) <= _STANDARD_ERRORS:
                raise PrivacyViolation(
                    f"the noise of one step is correlated with that of the step before "
                    f"({correlation:.2f}): the run has no privacy guarantee"
                )
