"""The federated trainer: its plan over clients, and its rounds."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, PrivacySpec, Unit
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, settings
from ecgexp.training.base import EpochResult, OnProgress, TrainerState, TrainingData
from ecgexp.training.federated.settings import FederatedSettings


@settings
class Federated(FederatedSettings):
    """Rounds of local training on the clients of the partition; see `FederatedSettings` for the attributes."""

    def plan(self, privacy: Any, data: TrainingData) -> PrivacyPlan:
        """The plan over the clients of `data`, which are the units of privacy.

        Raises:
          ConfigError: a promise was asked for to units that are not the clients, or the cohort does not fit.
        """
        protected = isinstance(privacy, PrivacySpec)
        if protected:
            _check_clients_are_units(data, privacy.unit)
        num_clients = len(data.clients)
        sampling = (
            {} if protected else {"sampling": "poisson" if self.sampling == "poisson" else "fixed"}
        )
        return privacy.plan(
            num_units=num_clients,
            expected_batch_size=self.clients_per_round or num_clients,
            iterations=self.num_rounds,
            batch_setting="trainer.clients_per_round",
            **sampling,
        )

    def train(
        self,
        data: TrainingData,
        *,
        build_model: Callable[[], Any],
        loss: Any,
        augmentation: Any,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields once per round.

        Raises:
          ConfigError: TFF is not installed, or a round had too few usable updates.
          PrivacyViolation: what ran is not what was planned and charged.
        """
        check_installed()
        from ecgexp.training.federated.rounds import Rounds  # imports TensorFlow Federated

        rounds = Rounds(self, data, build_model, loss, augmentation, ledger, seeds)
        try:
            yield from rounds.run(on_progress, resume_from)
        finally:
            rounds.close()


def check_installed() -> None:
    """Raises ConfigError where TFF is missing, which has wheels for Linux on x86-64 alone."""
    if importlib.util.find_spec("tensorflow_federated") is None:
        raise ConfigError(
            "trainer=federated needs TensorFlow Federated: on Linux x86-64 type `uv sync --group federated`; elsewhere it has no "
            "wheel, and trainer=centralized or trainer=dp run without it"
        )


def _check_clients_are_units(data: TrainingData, unit: Unit) -> None:
    """One client's update is clipped as one; that bounds a patient's influence only where the patient is that client."""
    owners = data.patient_ids if unit == "patient" else data.record_ids
    of_client = {client_id: np.unique(owners[rows]) for client_id, rows in data.clients.items()}
    several = next((client_id for client_id, units in of_client.items() if len(units) > 1), None)
    advice = f"type partition=by_{unit}"
    if several is not None:
        raise ConfigError(
            f"privacy.unit={unit}: client {several} holds {len(of_client[several])} {unit}s, so a {unit}'s part of its update is "
            f"not what is clipped; {advice}"
        )
    held = [units[0] for units in of_client.values() if len(units)]
    if len(set(held)) < len(held):
        twice = next(name for name in held if held.count(name) > 1)
        raise ConfigError(
            f"privacy.unit={unit}: {unit} {twice} is spread over {held.count(twice)} clients, which are clipped one by one; "
            f"{advice}"
        )
    # A client's random numbers are found by its id: named by its place, it would get others when one more client is there.
    renamed = [
        client_id
        for client_id, units in of_client.items()
        if len(units) and str(units[0]) != client_id
    ]
    if renamed:
        raise ConfigError(
            f"privacy.unit={unit}: client {renamed[0]} is not named by its {unit}, so its random numbers depend on who else is "
            f"there; {advice}"
        )
