"""The experiment of the replicated study: the one place where switches become parts of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment, FurtherResults
from ecgexp.replication.data import load_run_data_with_errors
from ecgexp.replication.protocol_errors import ProtocolErrors
from ecgexp.replication.reported_epsilon import reported_of
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, settings

# By protocol, what the predecessor tested and held out. Under privacy its sizes decide ε: 66 288 rows of its 107 065 beats were
# for training, of which `fit` held 21 % out and left 52 367.
SPLIT_FRACTIONS = {"central": (0.15, 0.21), "dp": (0.38086, 0.21)}


@settings
class ReplicationExperiment(Experiment):
    """An experiment in which the protocol errors of the predecessor can be switched on; `experiment=replication/…` is one.

    A run with an error on says so wherever it is looked at, and promises nothing. With all off it is a sound run.

    Attributes:
      protocol_errors: the switches.
    """

    protocol_errors: ProtocolErrors

    def resolved(self) -> "ReplicationExperiment":
        """With the sound parts replaced by what the switches name.

        Raises:
          ConfigError: a switch finds nothing to replace.
        """
        if not self.protocol_errors.names:
            return self
        changed = _data(self) | _learning(self) | _privacy(self)
        return replace(self, **changed) if changed else self

    def load_run_data(self, seeds: Seeds, on_progress: Callable[..., None]) -> RunData:
        """As every experiment, but for the errors that lie between records and training data."""
        if not self.protocol_errors.names:
            return super().load_run_data(seeds, on_progress)
        return load_run_data_with_errors(self, seeds, on_progress)

    def read_probabilities(
        self, probabilities: np.ndarray, class_names: Sequence[str]
    ) -> np.ndarray:
        """As `default_to_normal` reads them, where it is on."""
        return self.protocol_errors.read(probabilities, class_names)

    def marks(self) -> Mapping[str, Any]:
        """The errors that are on."""
        return (
            {"protocol_errors": self.protocol_errors.as_dict()}
            if self.protocol_errors.names
            else {}
        )

    def notices(self) -> Sequence[str]:
        """That the run repeats errors."""
        return (self.protocol_errors.line(),) if self.protocol_errors.names else ()

    def tags(self) -> Mapping[str, str]:
        """The errors that are on."""
        return self.protocol_errors.tags()

    def further_results(self, run_data: RunData) -> FurtherResults:
        """ε as it was printed, beside ε of what ran."""
        errors = self.protocol_errors
        if errors.protocol != "dp" or not errors.names:
            return FurtherResults()
        found = reported_of(self, errors, len(run_data.split.train), len(run_data.split.validation))
        return FurtherResults(
            metrics=found.metrics(),
            marks={"protocol_errors": {**errors.as_dict(), **found.as_dict()}},
            lines=(found.line(),),
        )

    @property
    def states_privacy_loss(self) -> bool:
        """No, where an error is on."""
        return super().states_privacy_loss and not self.protocol_errors.names

    @property
    def title(self) -> str:
        """With the number of errors."""
        count = len(self.protocol_errors.names)
        return f"{super().title} with {count} protocol errors" if count else super().title


def _data(experiment: Any) -> dict[str, Any]:
    from ecgexp.data.splits import IntraPatient
    from ecgexp.replication.parts import CopiedBefore, FirstBeats

    errors, changed = experiment.protocol_errors, {}
    dataset = experiment.dataset
    if errors.stand_in_lead and not isinstance(dataset, FirstBeats):
        dataset = replace(dataset, missing_lead="first")
    if errors.beat_cap and not isinstance(dataset, FirstBeats):
        dataset = FirstBeats(dataset=dataset)
        changed["grouping"] = replace(experiment.grouping, empty_class="drop")
    if errors.split_by_beat:
        test, validation = SPLIT_FRACTIONS[errors.protocol]
        changed["split"] = IntraPatient(test_fraction=test, validation_fraction=validation)
    if errors.autoscale:
        _require(experiment.features, "scale", "autoscale", "features=image")
        changed["features"] = replace(experiment.features, scale="autoscale")
    if errors.augment_before_split and not isinstance(experiment.augmentation, CopiedBefore):
        if experiment.augmentation.num_views == 1:
            raise ConfigError(
                f"protocol_errors.augment_before_split=true needs copies, and augmentation={experiment.augmentation.name} "
                "makes none; use augmentation=replication, or protocol_errors.augment_before_split=false."
            )
        changed["augmentation"] = CopiedBefore.of(experiment.augmentation)
    return changed | {"dataset": dataset}


def _learning(experiment: Any) -> dict[str, Any]:
    errors, changed = experiment.protocol_errors, {}
    if errors.last_checkpoint:
        changed["selection"] = replace(experiment.selection, weights="last")
    if errors.one_round_less:
        from ecgexp.replication.parts import OneRoundLess

        if getattr(experiment.trainer, "num_rounds", 0) < 2:
            raise ConfigError(
                "protocol_errors.one_round_less=true needs two rounds to leave one out; use trainer=federated "
                "trainer.num_rounds=20, or protocol_errors.one_round_less=false."
            )
        if not isinstance(experiment.trainer, OneRoundLess):
            changed["trainer"] = OneRoundLess.of(experiment.trainer)
    return changed


def _privacy(experiment: Any) -> dict[str, Any]:
    """A private run with a fault trains under noise that can be recomputed, so that nothing anywhere takes it for a promise."""
    from ecgexp.privacy.plan import PrivacySpec
    from ecgexp.replication.parts import NeverRan, without_noise
    from ecgexp.training.dp.trainer import DpSgd

    errors, privacy = experiment.protocol_errors, experiment.privacy
    if errors.protocol != "dp":
        if experiment.is_private:
            raise ConfigError(
                f"protocol_errors.{errors.names[0]}=true replays a protocol that promised nothing; type privacy=none, or "
                f"experiment=replication/dp, or protocol_errors.{errors.names[0]}=false"
            )
        return {}
    if isinstance(privacy, NeverRan):
        return {}
    if not (isinstance(privacy, PrivacySpec) and isinstance(experiment.trainer, DpSgd)):
        raise ConfigError(
            f"protocol_errors.{errors.names[0]}=true under experiment=replication/dp needs the promise that was broken; use "
            f"trainer=dp privacy=dp, or protocol_errors.{errors.names[0]}=false."
        )
    if errors.noise_never_runs:
        changed = {
            "trainer": without_noise(experiment.trainer),
            "privacy": NeverRan(intended=privacy),
        }
        if errors.batch_norm_under_dp:
            _require(experiment.model, "normalization", "batch_norm_under_dp", "model=cnn1d_small")
            changed["model"] = replace(experiment.model, normalization="batch")
        return changed
    seed = experiment.seed if privacy.noise_seed is None else privacy.noise_seed
    sampling = "shuffle" if errors.shuffled_as_poisson else privacy.sampling
    return {"privacy": replace(privacy, noise_seed=seed, sampling=sampling)}


def _require(part: Any, setting: str, error: str, typed: str) -> None:
    if not hasattr(part, setting):
        raise ConfigError(
            f"protocol_errors.{error}=true has nothing to change in {type(part).__name__}; use {typed}, or "
            f"protocol_errors.{error}=false."
        )
