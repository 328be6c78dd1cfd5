"""An attempt while it runs: its record, and its admission to the budget of the sweep."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ecgexp.formatting import epsilon_text
from ecgexp.interruption import reason_of
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.search_accounting import compose_epsilon
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.settings.declaration import ConfigError, Pruned
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.spent import spent_by_sweep
from ecgexp.tracking.local.result import Result

if TYPE_CHECKING:
    from ecgexp.sweeps.sweep import Sweep


class RunningAttempt:
    """An attempt that is running.

    Args:
      sweep: the sweep of the job.
      attempt: state of the attempt.
    """

    def __init__(self, sweep: "Sweep", attempt: Attempt):
        self._sweep, self._attempt = sweep, attempt
        self.over_budget = False

    def update(self, **changes: Any) -> None:
        """Record changed fields of the attempt.

        Args:
          **changes: fields of `Attempt`.
        """
        self._attempt = self._sweep.attempts.write(replace(self._attempt, **changes))

    def end(self, error: BaseException) -> None:
        """Record why the attempt ended without a result.

        Args:
          error: the exception that ended it. A pruned attempt keeps the privacy loss of all planned
            steps, because the number of steps that were taken depends on validation scores.
        """
        if isinstance(error, Pruned):
            self.update(status="PRUNED", reason=str(error))
            return
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        self.update(
            status="REFUSED" if self.over_budget else status,
            reason=reason_of(error),
        )

    def admit(self, ledger: Ledger, data_digest: str) -> None:
        """Record the largest privacy loss that the job may cause, before its first step.

        **Guarantees**: the sweep's lock is held from the check of the budget until the loss is
        recorded, so jobs that start at the same time cannot exceed the budget together
        (`tests/unit/sweeps/test_sweep.py`).

        Args:
          ledger: ledger of the run; all planned steps and all recorded events count.
          data_digest: keyed digest of the beats.

        Raises:
          ConfigError: the loss would exceed `sweep.budget_epsilon`.
        """
        spent = PrivacySpent.of(ledger).at_least(self._attempt.spent)
        with self._sweep.lock():
            self._check_budget(spent)
            self.update(spent=spent, data_digest=data_digest)

    def finish(self, result: Result) -> None:
        """Record a finished run and its executed privacy event instead of the reserved one.

        Args:
          result: result of the run.
        """
        spent = self._attempt.spent
        if spent is not None and result.privacy is not None and "event" in result.privacy:
            spent = replace(spent, event=result.privacy["event"])
        self.update(
            status="FINISHED",
            spent=spent,
            run_id=result.run_id,
            seconds=result.seconds,
            metrics=result.metrics,
        )

    def _check_budget(self, spent: PrivacySpent) -> None:
        budget = self._sweep.settings.budget_epsilon
        if budget is None:
            return
        if damaged := self._sweep.attempts.damaged:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: the privacy loss of an earlier attempt is "
                f"unknown, because {damaged[0]} is damaged; restore the file, or use "
                "sweep.budget_epsilon=null."
            )
        known = spent_by_sweep(self._sweep.home, self._sweep.private_dir).losses
        before = [
            loss
            for loss in known
            if self._attempt.spent is not None and loss.run_dir == self._attempt.run_dir
        ]
        own = before[-1:]  # an earlier start of this attempt, which is resumed
        earlier = [loss.spent for loss in known if loss not in own]
        try:
            already_spent = _bounded([*earlier, *(loss.spent for loss in own)], budget)
            required = _bounded([*earlier, spent.at_least(own[0].spent if own else None)], budget)
        except ValueError as error:
            self.over_budget = True
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: {error}; use one kind of privacy guarantee in a "
                "sweep."
            ) from error
        if required > budget:
            self.over_budget = True
            why = (
                "the job has no privacy guarantee"
                if not spent.has_privacy_guarantee
                else f"with this job it would be {epsilon_text(required, digits=4)}"
            )
            raise ConfigError(
                f"sweep.budget_epsilon={budget:g}: the {len(earlier) + len(own)} earlier runs of "
                f"this sweep have a privacy loss of up to {epsilon_text(already_spent, digits=4)}, "
                f"and {why}; use more noise, fewer jobs or a larger budget."
            )


def _bounded(all_spent: Sequence[PrivacySpent], budget: float) -> float:
    """Compose ε of all losses; the faster RDP accountant suffices if its bound is in the budget."""
    try:
        epsilon_rdp = compose_epsilon(all_spent, accountant="rdp")
    except ConfigError:
        epsilon_rdp = math.inf
    return epsilon_rdp if epsilon_rdp <= budget else compose_epsilon(all_spent)
