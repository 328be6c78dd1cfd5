"""Which units enter each step: drawn here, and priced by the event that is handed out with them.

Amplification by sampling holds only while nobody can tell who was drawn. A cohort that follows from a logged seed is no
secret, so under a claim the sampler draws its key from the operating system, as the noise does, and never writes it
down. A simulation and a run without privacy draw theirs from the run's seed, and repeat exactly.
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
      units: (num_drawn,) int64, ascending; at most the plan's capacity if it `can_overflow`. May be empty, and the step is still
        noised and charged.
      event: what this step adds to the bill; charge it before the step runs.
    """

    units: np.ndarray
    event: "DpEvent"


class Sampler:
    """Draws the units of one step after another, as the plan says.

    Every step has its own stream, numbered by the step, so the number of steps drawn is the whole state: with a seed, a
    restored sampler goes on bit for bit; under a claim it goes on with a fresh key, which is as private and not
    repeatable.

    **Guarantees**: a fresh key never deals a unit into an epoch that it was in already: where the steps of an epoch are one
    event, a sampler with a claim is restored between epochs only (`tests/privacy/test_sampling.py`).

    Args:
      plan: what to draw, and how it is priced.
      rng: the run's sampling stream; two integers of it are used, and none under a claim.
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
        """The units of the next step and its event.

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
        """What the next step adds to the bill; charge it before the step is drawn.

        Raises:
          ValueError: the plan was changed after the sampler was made.
        """
        self.check(self.plan)
        return self.plan.event_at(self._drawn)

    def check(self, plan: PrivacyPlan) -> None:
        """Refuses a plan other than the one this sampler was made for.

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
                f"this sampler was made for another plan ({differences}); make a new sampler for a new plan"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the number of steps drawn, and no key."""
        return {"drawn": self._drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on after the steps in `state`; under a claim with a new key.

        Raises:
          DataError: it is within an epoch whose order is gone.
        """
        self._drawn = int(state["drawn"])
        if (
            self.plan.has_privacy_guarantee
            and self.plan.epoch_is_one_event
            and self._drawn % self.plan.steps_per_epoch
        ):
            raise DataError(
                "privacy.sampling=shuffle: the checkpoint is within an epoch, whose order is kept nowhere, so its units may "
                "enter the epoch again; start the run anew in another folder, without resume=."
            )
        if self.plan.has_privacy_guarantee:
            self._key = secrets.randbits(128)

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, kind, number]))

    def _poisson(self) -> np.ndarray:
        rng = self._stream(_STEP, self._drawn)
        units = np.flatnonzero(rng.random(self.plan.num_units) < self.plan.sampling_probability)
        if not self.plan.can_overflow or len(units) <= self.plan.batch_capacity:
            return units  # never cut but where the event says so: what is cut by chance alone would have to be added to δ
        return np.sort(rng.choice(units, self.plan.batch_capacity, replace=False))

    def _shuffled(self) -> np.ndarray:
        # Each unit picks its batch on its own: adding a unit then changes one batch by one contribution. Cutting a
        # permutation into equal batches would shift all the others.
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
