"""The sampler: draws the units of each step and returns the event that accounts for the draw.

Amplification by sampling holds only while the drawn units are secret. A cohort that follows from a
logged seed is not secret, so a sampler of a run with a privacy guarantee takes its key from the
operating system's entropy, as the noise does, and never stores it. A simulation and a run without
privacy draw their units from the run's seed, and repeat exactly.
"""

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_STEP, _EPOCH = 0, 1  # counter words that keep the two kinds of streams apart


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Units of one step.

    Attributes:
      units: (num_drawn,) int64, ascending; at most the plan's capacity if it `can_overflow`. May
        be empty; noise is then still added, and the event recorded.
      event: the privacy event of this step; record it in the ledger before the step runs.
    """

    units: np.ndarray
    event: "DpEvent"


class Sampler:
    """Draws the units of one step after another, as the plan specifies.

    Every step has its own random stream, numbered by the step, so the number of steps drawn is the
    whole state. With a seed, a restored sampler continues identically, bit by bit. In a run with a
    privacy guarantee it continues with a new key, which is as private and not repeatable.

    **Guarantees**: a new key never assigns a unit to an epoch that the unit was already in: where
    the steps of an epoch are one event, a sampler with a privacy guarantee is restored between
    epochs only (`tests/unit/privacy/test_sampling.py`).

    Args:
      plan: what to draw, and how it is accounted for.
      rng: the run's sampling stream; two integers of it are used, and none in a run with a privacy
        guarantee.

    Example:
      >>> from ecgexp.privacy.settings import PrivacySpec
      >>> spec = PrivacySpec(noise_multiplier=1.0, accountant="rdp", noise_seed=0)
      >>> plan = spec.plan(num_units=10_000, expected_batch_size=100, epochs=1)
      >>> sampler = Sampler(plan, np.random.default_rng(0))
      >>> 50 < len(sampler.draw().units) < 150  # 100 are expected
      True
      >>> sampler.drawn
      1
    """

    def __init__(self, plan: PrivacyPlan, rng: np.random.Generator):
        self.plan = plan
        self._accounted = replace(plan)
        self._key = (
            secrets.randbits(128)
            if plan.has_privacy_guarantee
            else rng.integers(0, 2**64, size=2, dtype=np.uint64)
        )
        self._drawn = 0

    def draw(self) -> Draw:
        """Draw the units of the next step.

        Returns:
          The units and the event of the step.

        Raises:
          ValueError: the plan was changed after the sampler was made.
        """
        event = self.next_event
        units = {"poisson": self._poisson, "shuffle": self._shuffled, "fixed": self._fixed}[
            self.plan.sampling
        ]()
        self._drawn += 1
        return Draw(units=units, event=event)

    @property
    def drawn(self) -> int:
        """Steps drawn so far."""
        return self._drawn

    @property
    def next_event(self) -> "DpEvent":
        """The event of the next step; record it in the ledger before the step is drawn.

        Raises:
          ValueError: the plan was changed after the sampler was made.
        """
        self.check(self.plan)
        return self.plan.event_at(self._drawn)

    def check(self, plan: PrivacyPlan) -> None:
        """Check that `plan` is the one this sampler was made for.

        Args:
          plan: plan to compare.

        Raises:
          ValueError: they differ; the message names the fields.
        """
        if plan == self._accounted:
            return
        ours, theirs = self._accounted.as_dict(), plan.as_dict()
        changed = [name for name in ours if ours[name] != theirs[name]]
        if changed:
            differences = ", ".join(f"{name} {ours[name]} -> {theirs[name]}" for name in changed)
            raise ValueError(
                f"this sampler was made for another plan ({differences}); create a new sampler for "
                "a new plan"
            )

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: the number of steps drawn, and no key."""
        return {"drawn": self._drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after the steps in `state`, with a new key in a run with a privacy guarantee.

        Args:
          state: see `state`.

        Raises:
          DataError: the state is within an epoch whose order was not stored.
        """
        self._drawn = int(state["drawn"])
        if (
            self.plan.has_privacy_guarantee
            and self.plan.epoch_is_one_event
            and self._drawn % self.plan.steps_per_epoch
        ):
            raise DataError(
                "privacy.sampling=shuffle: the checkpoint is within an epoch whose order of units "
                "is not stored, so units could enter the epoch again; start the run anew in "
                "another folder, without resume=."
            )
        if self.plan.has_privacy_guarantee:
            self._key = secrets.randbits(128)

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, kind, number]))

    def _poisson(self) -> np.ndarray:
        rng = self._stream(_STEP, self._drawn)
        units = np.flatnonzero(rng.random(self.plan.num_units) < self.plan.sampling_probability)
        if not self.plan.can_overflow or len(units) <= self.plan.batch_capacity:
            # Truncated only where the event accounts for it; else its probability would add to δ.
            return units
        return np.sort(rng.choice(units, self.plan.batch_capacity, replace=False))

    def _shuffled(self) -> np.ndarray:
        # Balls and bins: each unit chooses its batch independently, so adding a unit changes one
        # batch by one contribution. Splitting a permutation into equal batches would shift all
        # other units.
        steps = self.plan.steps_per_epoch
        epoch, step = divmod(self._drawn, steps)
        return np.flatnonzero(
            self._stream(_EPOCH, epoch).integers(steps, size=self.plan.num_units) == step
        )

    def _fixed(self) -> np.ndarray:
        rng = self._stream(_STEP, self._drawn)
        return np.sort(
            rng.choice(self.plan.num_units, self.plan.expected_batch_size, replace=False)
        )
