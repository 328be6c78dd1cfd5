"""The clients of one round: who is sampled, who drops out, and whose updates are used."""

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
      sampled: (num_sampled,) clients that were sampled.
      dropped: (num_dropped,) those of them that send nothing back.
    """

    sampled: np.ndarray
    dropped: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """The sampled clients that train."""
        return np.setdiff1d(self.sampled, self.dropped)


def drop_out(
    sampled: np.ndarray,
    probability: float,
    *,
    client_ids: Sequence[str],
    step_randomness: StepRandomness,
    round_num: int,
) -> Cohort:
    """Return the cohort of `sampled` clients, each of which fails with `probability`.

    **Guarantees**: whether a client fails depends only on the run's key (secret under a privacy
    guarantee), its own id and the round. So one more client in the training set changes the sum of
    a round by that client's contribution alone
    (`tests/unit/training/federated/test_cohort.py`).

    Args:
      sampled: (num_sampled,) numbers of clients.
      probability: of a failure.
      client_ids: id of each number.
      step_randomness: of the run.
      round_num: 1-based.

    Returns:
      The sampled clients, and those of them that fail.
    """
    draws = [
        step_randomness.of_client(client_ids[int(number)], round_num).random() for number in sampled
    ]
    return Cohort(sampled=sampled, dropped=sampled[np.array(draws) < probability])


@dataclass(frozen=True, kw_only=True)
class Participation:
    """The clients of one round and what each of them computed.

    Attributes:
      cohort: the sampled clients.
      examples: (num_clients,) beats that each client trained on; see `ClientModel` for a client
        whose update was not finite.
      correct: (num_clients,) beats that the model classified correctly during training.
      loss: (num_clients,) sum of the loss over the beats.
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
        """Return the metrics of the round; loss and accuracy only if an update was used."""
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
        """Check that the round has the updates it needs.

        Args:
          settings: of the trainer.
          client_ids: id of each number.
          round_num: 1-based.
          tolerates_non_finite: whether the aggregator replaces updates that are not finite.

        Raises:
          ConfigError: an update was not finite and is not tolerated, or fewer than
            `trainer.min_clients` updates were usable.
        """
        if len(self.non_finite) and not tolerates_non_finite:
            names = ", ".join(client_ids[int(number)] for number in self.non_finite)
            raise ConfigError(
                f"trainer.client_learning_rate={settings.client_learning_rate:g}: the update of "
                f"client {names} in round {round_num} is not finite, because its training diverged "
                "or its beats contain NaN or infinite values; use a smaller "
                "trainer.client_learning_rate, or trainer.aggregator=robust, which replaces such "
                "updates by zero."
            )
        if len(self.used) < settings.min_clients:
            raise ConfigError(
                f"trainer.min_clients={settings.min_clients}: in round {round_num}, "
                f"{len(self.used)} of {len(self.cohort.sampled)} sampled clients sent a usable "
                f"update ({len(self.cohort.dropped)} dropped out, {len(self.non_finite)} not "
                "finite); use a smaller trainer.min_clients, or a larger "
                "trainer.clients_per_round."
            )
