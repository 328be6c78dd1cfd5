"""ε as the replicated implementation printed it, and as its steps with noise would have it.

Every ε is that of a plan of `ecgexp.privacy`; an accounting error is a plan with other numbers. No
value here is a privacy guarantee. `results/replication_epsilon.jsonl` holds ε of the noise sweep,
whose computation takes a minute.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.replication.protocol_errors import ProtocolErrors
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_lines

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

COPIES = 10  # images of a beat, with the original

# The rows that the replicated implementation trained on, and those that it computed ε from.
TRAIN_ROWS, ALL_ROWS = 52_367, 66_288
DELTA, BATCH, EPOCHS = 4e-6, 100, 20
# Grid for a mixture, which takes ten seconds on the usual one; also an upper bound.
_COARSE = 1e-3
NOISES = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
_FIX = "compute it again with scripts/results_page.py --accounting"
_EXECUTED = "that_ran"  # always infinite, which JSON does not have

Epsilon = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True)
class ReportedEpsilons:
    """The reported and the actual ε of one run.

    Attributes:
      as_printed: ε with the accounting errors.
      had_it_run: ε of the clipped and noised steps, if they had been executed, for the actual
        beats, batches and copies. With both `shuffled_as_poisson` and `copies_as_beats` an upper
        bound: all copies of a beat are in one batch of each pass.
      that_ran: ε of the executed steps; infinite if no noise was added.
    """

    as_printed: float
    had_it_run: float
    that_ran: float

    def metrics(self) -> dict[str, float]:
        """Return the finite values as metrics, none of them under `privacy/`."""
        return {
            f"replication/epsilon_{name}": value
            for name, value in self._named()
            if math.isfinite(value)
        }

    def as_dict(self) -> dict[str, float | str]:
        """Return the entry in `result.json`; JSON has no infinity."""
        return {
            f"epsilon_{name}": value if math.isfinite(value) else "infinite"
            for name, value in self._named()
        }

    def line(self) -> str:
        """Return the line for the console."""
        ran = (
            _two(self.that_ran)
            if math.isfinite(self.that_ran)
            else "infinite, since no noise was added"
        )
        return (
            f"ε as the replicated implementation printed it: {_two(self.as_printed)} · of these "
            f"steps with their noise: {_two(self.had_it_run)} · of the executed steps: {ran} · "
            "none of them is a privacy guarantee"
        )

    def _named(self) -> list[tuple[str, float]]:
        return [
            ("as_printed", self.as_printed),
            ("had_it_run", self.had_it_run),
            ("that_ran", self.that_ran),
        ]


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """ε at one noise multiplier, as the accounting errors are corrected one after another.

    Attributes:
      noise_multiplier: of the steps.
      as_printed: from all rows, by RDP.
      right_count: from the rows that were trained on, by RDP.
      tight: the same, by PLD.
      ten_copies: a beat has ten of the rows, by PLD.
      no_amplification: shuffled batches of beats, by PLD.
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
    """Return the reported and the actual ε of a run with `errors`.

    Args:
      errors: of the run.
      plan: the intended plan, over the rows that were trained on.
      all_rows: number of these rows and of those held out for validation.
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
    experiment: "Experiment", errors: ProtocolErrors, num_train: int, num_validation: int
) -> ReportedEpsilons:
    """Return the reported and the actual ε of a private experiment.

    Args:
      experiment: the experiment, as it ran.
      errors: of the run.
      num_train: number of training beats.
      num_validation: number of validation beats.
    """
    privacy, trainer = experiment.privacy, cast(Any, experiment.trainer)
    intended = cast(PrivacySpec, getattr(privacy, "intended", privacy))
    # δ is set afterwards: at n·δ of 0.2 a spec warns each time, which the run itself did if it
    # added noise.
    spec = replace(intended, sampling="poisson", delta=None)
    batch = getattr(trainer, "expected_batch_size", None) or trainer.batch_size
    plan = spec.plan(num_units=num_train, expected_batch_size=batch, epochs=trainer.epochs)
    plan = replace(plan, delta=intended.delta or plan.delta)
    return reported(errors, plan, all_rows=num_train + num_validation)


def ladders(noises: Sequence[float] = NOISES) -> list[Ladder]:
    """Return ε of the noise sweep of the replicated implementation, error by error.

    Args:
      noises: noise multipliers.
    """
    return [_ladder(noise) for noise in noises]


class LadderValues(TypedDict):
    """One line: ε at one noise multiplier, by the fields of `Ladder`."""

    noise_multiplier: Epsilon
    as_printed: Epsilon
    right_count: Epsilon
    tight: Epsilon
    ten_copies: Epsilon
    no_amplification: Epsilon


def read_ladders(path: Path) -> list[Ladder]:
    """Read ε of the noise sweep, one value for each noise multiplier.

    Args:
      path: of the file.

    Raises:
      DataError: the file is missing or damaged.
    """
    return [Ladder(**values) for values in read_lines(path, LadderValues, fix=_FIX)]


def write_ladders(path: Path, ladders: Sequence[Ladder]) -> None:
    """Replace the file.

    Args:
      path: of the file.
      ladders: one per noise multiplier.
    """
    values = [{k: v for k, v in asdict(one).items() if k != _EXECUTED} for one in ladders]
    with replacing(path) as part:
        part.write_text("".join(f"{json.dumps(one)}\n" for one in values), encoding="utf-8")


def _ladder(noise: float) -> Ladder:
    # δ is replaced, since at n·δ of 0.2 a spec warns each time, with good reason.
    spec = PrivacySpec(noise_multiplier=noise)
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
    """Return the plan of the same passes over another number of rows."""
    epochs = plan.iterations // plan.steps_per_epoch
    other = replace(plan, num_units=num_units)
    return replace(other, iterations=epochs * other.steps_per_epoch, batch_capacity=num_units)


def _event(errors: ProtocolErrors, plan: PrivacyPlan) -> Any:
    """Return the privacy event of the steps for one beat, with the actual batches and copies."""
    if errors.shuffled_as_poisson and errors.copies_as_beats:
        # The copies of a beat are in any batches of one pass. The worst case is all in one: they
        # change the sum by ten clips.
        per_pass = dp_events.gaussian(plan.noise_multiplier / COPIES)
        return dp_events.repeated(per_pass, math.ceil(plan.iterations / plan.steps_per_epoch))
    if errors.shuffled_as_poisson:
        return replace(plan, sampling="shuffle").dp_event
    if errors.copies_as_beats:
        step = dp_events.copies_gaussian(plan.sampling_probability, plan.noise_multiplier, COPIES)
        return dp_events.repeated(step, plan.iterations)
    return plan.dp_event


def _two(epsilon: float) -> str:
    return epsilon_text(epsilon, decimals=2)


def _epsilon(event: Any, plan: PrivacyPlan, *, interval: float | None = None) -> float:
    return accounting.epsilon(event, plan.delta, plan.accountant, interval=interval)
