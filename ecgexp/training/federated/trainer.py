"""The federated trainer: its plan over clients, and its rounds."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ecgexp.augmentation.base import Augmentation
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.settings.installation import federated_is_installed, install_federated
from ecgexp.training.base import EpochResult, OnProgress, TrainerState, TrainingData
from ecgexp.training.federated.settings import FederatedSettings
from ecgexp.training.loss import LossFn

if TYPE_CHECKING:
    import tensorflow as tf


@settings
class Federated(FederatedSettings):
    """Rounds of local training on the clients of the partition.

    See `FederatedSettings` for the attributes.

    Example:
      >>> Federated(algorithm="fedprox", proximal_strength=0.1).needs_clients
      True
    """

    def check_installed(self) -> None:
        """See `Trainer.check_installed`: TensorFlow Federated and TensorFlow Privacy are needed.

        Raises:
          ConfigError: one of them is not installed.
        """
        if not federated_is_installed():
            raise ConfigError(
                f"trainer=federated: TensorFlow Federated is not installed; {install_federated()}, "
                "or use trainer=centralized or trainer=dp."
            )

    def plan(self, privacy: Privacy, data: TrainingData) -> PrivacyPlan:
        """Return the plan over the clients of `data`, which are the units of privacy.

        Args:
          privacy: the privacy settings of the run.
          data: the data to train on.

        Returns:
          The plan; without privacy one whose ε is infinite.

        Raises:
          ConfigError: the units of privacy are not the clients, or `trainer.clients_per_round` does
            not fit their number.
        """
        if privacy.is_private:
            _check_clients_are_units(data, privacy.unit)
        return self.plan_of(privacy, len(data.clients))

    def plan_of(
        self, privacy: Privacy, num_units: int, overlap: Overlap | None = None
    ) -> PrivacyPlan:
        """See `Trainer.plan_of`; the units are clients."""
        return privacy.plan(
            num_units=num_units,
            expected_batch_size=self.clients_per_round or num_units,
            iterations=self.num_rounds,
            batch_setting="trainer.clients_per_round",
            sampling="poisson" if self.sampling == "poisson" else "fixed",
        )

    def train(
        self,
        data: TrainingData,
        *,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields once per round.

        Raises:
          ConfigError: a round had too few usable updates.
          PrivacyViolation: the executed rounds are not those that were planned and recorded.
        """
        from ecgexp.training.federated.rounds import Rounds  # imports TensorFlow Federated

        rounds = Rounds(self, data, build_model, loss, augmentation, ledger, seeds)
        try:
            yield from rounds.run(on_progress, resume_from)
        finally:
            rounds.close()


def _check_clients_are_units(data: TrainingData, unit: Unit) -> None:
    """Check that every client is one unit of privacy.

    The update of one client is clipped as a whole, which bounds the influence of a patient only
    where the patient is that client.

    Raises:
      ConfigError: a client has several units, a unit several clients, or a client another name than
        its unit.
    """
    owners = data.patient_ids if unit == "patient" else data.record_ids
    of_client = {client_id: np.unique(owners[rows]) for client_id, rows in data.clients.items()}
    several = next((client_id for client_id, units in of_client.items() if len(units) > 1), None)
    advice = f"use partition=by_{unit}."
    if several is not None:
        raise ConfigError(
            f"privacy.unit={unit}: client {several} holds {len(of_client[several])} {unit}s, and "
            f"the part of one {unit} in its update is not clipped on its own; {advice}"
        )
    held = [units[0] for units in of_client.values() if len(units)]
    if len(set(held)) < len(held):
        twice = next(name for name in held if held.count(name) > 1)
        raise ConfigError(
            f"privacy.unit={unit}: {unit} {twice} is divided among {held.count(twice)} clients, "
            f"whose updates are clipped separately; {advice}"
        )
    # The random numbers of a client follow from its id: an id that is a position would get others
    # as soon as one more client exists.
    renamed = [
        client_id
        for client_id, units in of_client.items()
        if len(units) and str(units[0]) != client_id
    ]
    if renamed:
        raise ConfigError(
            f"privacy.unit={unit}: client {renamed[0]} does not have the name of its {unit}, so "
            f"its random numbers depend on the other clients; {advice}"
        )
