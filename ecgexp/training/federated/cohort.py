"""Who takes part in a round, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.settings.declaration import ConfigError
from ecgexp.training.step_randomness import StepRandomness

if TYPE_CHECKING:
    from ecgexp.training.federated.settings import FederatedSettings


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The clients of one round, as numbers of clients.

    Attributes:
      sampled: (num_sampled,) chosen.
      dropped: (num_dropped,) of them, that send nothing back.
    """

    sampled: np.ndarray
    dropped: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Those that train."""
        return np.setdiff1d(self.sampled, self.dropped)


def drop_out(
    sampled: np.ndarray,
    probability: float,
    *,
    client_ids: Sequence[str],
    step_randomness: StepRandomness,
    round_num: int,
) -> Cohort:
    """The cohort of `sampled` clients each of which fails with `probability`.

    **Guarantees**: whether a client fails depends on its own id and the round, and on nobody else. So one more client in the
    training set moves the sum of a round by that client's contribution alone (`tests/unit/training/federated/test_cohort.py`).

    Args:
      sampled: (num_sampled,) numbers of clients.
      probability: of a failure.
      client_ids: id of each number.
      step_randomness: of the run.
      round_num: 1-based.
    """
    draws = [
        step_randomness.of_client(client_ids[number], round_num).random() for number in sampled
    ]
    return Cohort(sampled=sampled, dropped=sampled[np.array(draws) < probability])


@dataclass(frozen=True, kw_only=True)
class Participation:
    """What became of a round's clients.

    Attributes:
      cohort: who was chosen.
      examples: (num_clients,) beats that each client trained on; see `ClientModel` for one whose update was not finite.
      correct: (num_clients,) of them that the model got right while it trained.
      loss: (num_clients,) summed.
    """

    cohort: Cohort
    examples: np.ndarray
    correct: np.ndarray
    loss: np.ndarray

    @property
    def non_finite(self) -> np.ndarray:
        """Clients that trained, and whose update was not finite."""
        present = self.cohort.present
        return present[(self.examples[present] == 0) | ~np.isfinite(self.loss[present])]

    @property
    def used(self) -> np.ndarray:
        """Clients whose update entered the average."""
        return np.setdiff1d(self.cohort.present, self.non_finite)

    def metrics(self) -> dict[str, float]:
        """For the log; loss and accuracy are left out of a round that nobody took part in."""
        counts = {
            "clients/sampled": len(self.cohort.sampled),
            "clients/dropped": len(self.cohort.dropped),
            "clients/non_finite": len(self.non_finite),
            "clients/used": len(self.used),
        }
        metrics = {name: float(count) for name, count in counts.items()}
        total = self.examples[self.used].sum()
        if total:
            loss, correct = self.loss[self.used].sum(), self.correct[self.used].sum()
            metrics |= {"loss": float(loss / total), "accuracy": float(correct / total)}
        return metrics

    def check(
        self,
        settings: "FederatedSettings",
        client_ids: Sequence[str],
        round_num: int,
        *,
        tolerates_non_finite: bool,
    ) -> None:
        """Ends the run where the round did not have what it needs.

        Raises:
          ConfigError: an update was not finite, and neither privacy nor a robust aggregator is there to bear it; or fewer than
            `trainer.min_clients` updates were usable.
        """
        if len(self.non_finite) and not tolerates_non_finite:
            names = ", ".join(client_ids[number] for number in self.non_finite)
            raise ConfigError(
                f"round {round_num}: the update of client {names} is not finite. Its beats may hold what is no number, or its "
                f"training diverged: type a smaller trainer.client_learning_rate than {settings.client_learning_rate:g}, or "
                "trainer.aggregator=robust to go on without such updates"
            )
        if len(self.used) < settings.min_clients:
            raise ConfigError(
                f"round {round_num}: {len(self.used)} of {len(self.cohort.sampled)} sampled clients sent a usable update "
                f"({len(self.cohort.dropped)} dropped out, {len(self.non_finite)} not finite), fewer than "
                f"trainer.min_clients={settings.min_clients}; type a smaller one, or larger cohorts"
            )
