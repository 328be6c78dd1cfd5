"""ε as the predecessor printed it, beside ε of what it would have done had its noise been added. No figure here is a promise.

Every ε is that of a plan of `ecgexp.privacy`; a fault is a plan with other numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting
from ecgexp.privacy.plan import PrivacyPlan, PrivacySpec
from ecgexp.replication.protocol_errors import ProtocolErrors

COPIES = 10  # pictures of a beat, itself included

# What was trained on there, and what ε was computed from.
TRAIN_ROWS, ALL_ROWS = 52_367, 66_288
DELTA, BATCH, EPOCHS = 4e-6, 100, 20
_COARSE = (
    1e-3  # grid for a mixture, which on the usual one takes ten seconds; as above an upper bound
)
NOISES = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)


@dataclass(frozen=True, kw_only=True)
class ReportedEpsilons:
    """What one run's ε was believed to be, and what it was.

    Attributes:
      as_printed: under the faults of the accounting.
      had_it_run: ε of the clipped and noised steps, had they been made: with the beats, batches and copies there were. With both
        `shuffled_as_poisson` and `copies_as_beats` an upper bound, of all copies of a beat in one batch of each pass.
      that_ran: of what was done; infinite where the noise never ran.
    """

    as_printed: float
    had_it_run: float
    that_ran: float

    def metrics(self) -> dict[str, float]:
        """What is finite; none of it under `privacy/`."""
        return {
            f"replication/epsilon_{name}": value
            for name, value in self._named()
            if math.isfinite(value)
        }

    def as_dict(self) -> dict[str, float | str]:
        """For `result.json`, which knows no infinity."""
        return {
            f"epsilon_{name}": value if math.isfinite(value) else "infinite"
            for name, value in self._named()
        }

    def line(self) -> str:
        """For the console."""
        ran = (
            _two(self.that_ran)
            if math.isfinite(self.that_ran)
            else "infinite, for no noise was added"
        )
        return (
            f"ε as it was printed there: {_two(self.as_printed)} · of these steps with their noise: {_two(self.had_it_run)} · of "
            f"what ran: {ran} · no promise follows from any of them"
        )

    def _named(self) -> list[tuple[str, float]]:
        return [
            ("as_printed", self.as_printed),
            ("had_it_run", self.had_it_run),
            ("that_ran", self.that_ran),
        ]


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """ε at one noise multiplier, mended fault by fault.

    Attributes:
      noise_multiplier: of the steps.
      as_printed: all rows, RDP.
      right_count: the rows that were trained on, RDP.
      tight: the same, PLD.
      ten_copies: a beat has ten of the rows, PLD.
      no_amplification: shuffled batches of beats, PLD.
      that_ran: infinite.
    """

    noise_multiplier: float
    as_printed: float
    right_count: float
    tight: float
    ten_copies: float
    no_amplification: float
    that_ran: float = math.inf


def reported(errors: ProtocolErrors, plan: PrivacyPlan, *, all_rows: int) -> ReportedEpsilons:
    """Of a run with `errors`.

    Args:
      errors: of the run.
      plan: of the promise that was meant to be kept, over the rows that were trained on.
      all_rows: the same and those held out for validation.
    """
    plan = replace(plan, sampling="poisson")
    printed = (
        replace(_over(plan, all_rows), accountant="rdp") if errors.epsilon_of_all_rows else plan
    )
    had_it_run = _epsilon(_event(errors, plan), plan)
    return ReportedEpsilons(
        as_printed=_epsilon(printed.dp_event, printed),
        had_it_run=had_it_run,
        that_ran=math.inf if errors.noise_never_runs else had_it_run,
    )


def reported_of(
    experiment: Any, errors: ProtocolErrors, num_train: int, num_validation: int
) -> ReportedEpsilons:
    """Of a replayed private experiment on so many beats."""
    privacy, trainer = experiment.privacy, experiment.trainer
    intended = getattr(privacy, "intended", privacy)
    # Its own δ is put in afterwards: at n·δ of 0.2 a spec warns each time, which the run itself has done where noise ran.
    spec = replace(intended, sampling="poisson", delta=None)
    batch = getattr(trainer, "expected_batch_size", None) or trainer.batch_size
    plan = spec.plan(num_units=num_train, expected_batch_size=batch, epochs=trainer.epochs)
    plan = replace(plan, delta=intended.delta or plan.delta)
    return reported(errors, plan, all_rows=num_train + num_validation)


def ladders(noises: Sequence[float] = NOISES) -> list[Ladder]:
    """The predecessor's noise sweep, priced fault by fault."""
    return [_ladder(noise) for noise in noises]


def _ladder(noise: float) -> Ladder:
    spec = PrivacySpec(
        noise_multiplier=noise
    )  # its δ is replaced, since at n·δ of 0.2 a spec warns, rightly, each time
    plan = replace(
        spec.plan(num_units=TRAIN_ROWS, expected_batch_size=BATCH, epochs=EPOCHS), delta=DELTA
    )
    return Ladder(
        noise_multiplier=noise,
        as_printed=_epsilon(_over(plan, ALL_ROWS).dp_event, replace(plan, accountant="rdp")),
        right_count=_epsilon(plan.dp_event, replace(plan, accountant="rdp")),
        tight=_epsilon(plan.dp_event, plan),
        ten_copies=_epsilon(
            _event(ProtocolErrors(protocol="dp", copies_as_beats=True), plan),
            plan,
            interval=_COARSE,
        ),
        no_amplification=_epsilon(
            _event(ProtocolErrors(protocol="dp", shuffled_as_poisson=True), plan), plan
        ),
    )


def _over(plan: PrivacyPlan, num_units: int) -> PrivacyPlan:
    """The same passes over other rows."""
    epochs = plan.iterations // plan.steps_per_epoch
    other = replace(plan, num_units=num_units)
    return replace(other, iterations=epochs * other.steps_per_epoch, batch_capacity=num_units)


def _event(errors: ProtocolErrors, plan: PrivacyPlan) -> Any:
    """What the steps of `plan` would do to one beat, with the batches and copies there were."""
    if errors.shuffled_as_poisson and errors.copies_as_beats:
        # The copies of a beat lie in batches of one pass as it happens. Worst is all in one: a sum moved by ten clips.
        per_pass = accounting.gaussian(plan.noise_multiplier / COPIES)
        return accounting.repeated(per_pass, math.ceil(plan.iterations / plan.steps_per_epoch))
    if errors.shuffled_as_poisson:
        return replace(plan, sampling="shuffle").dp_event
    if errors.copies_as_beats:
        step = accounting.copies_gaussian(plan.sampling_probability, plan.noise_multiplier, COPIES)
        return accounting.repeated(step, plan.iterations)
    return plan.dp_event


def _two(epsilon: float) -> str:
    return epsilon_text(epsilon, decimals=2)


def _epsilon(event: Any, plan: PrivacyPlan, *, interval: float | None = None) -> float:
    return accounting.epsilon(event, plan.delta, plan.accountant, interval=interval)
