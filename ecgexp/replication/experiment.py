"""The experiment of the replication, which replaces parts of a run according to the switches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment, FurtherResults
from ecgexp.replication.data import load_run_data_with_errors
from ecgexp.replication.protocol_errors import ProtocolErrors
from ecgexp.replication.reported_epsilon import reported_of
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, settings

# By protocol, the test and validation fractions of the replicated implementation. Under privacy
# they decide ε: of its 107 065 beats 66 288 rows were for training, of which `fit` held out 21 %
# and left 52 367.
SPLIT_FRACTIONS = {"central": (0.15, 0.21), "dp": (0.38086, 0.21)}


@settings
class ReplicationExperiment(Experiment):
    """An experiment with the protocol errors of the replicated implementation as switches.

    `experiment=replication/...` selects one. A run with a switch on says so in all its outputs and
    has no privacy guarantee. With all switches off it is a run like any other.

    Attributes:
      protocol_errors: the switches.
    """

    protocol_errors: ProtocolErrors

    def resolved(self) -> "ReplicationExperiment":
        """Return the experiment with the parts replaced that the switches name.

        Raises:
          ConfigError: a switch has nothing to replace.
        """
        if not self.protocol_errors.names:
            return self
        changed = _data(self) | _learning(self) | _privacy(self)
        return replace(self, **changed) if changed else self

    def load_run_data(self, seeds: Seeds, on_progress: Callable[..., None]) -> RunData:
        """Load the data of the run; see `Experiment.load_run_data`.

        Args:
          seeds: the random streams of the run.
          on_progress: called with the progress.
        """
        if not self.protocol_errors.names:
            return super().load_run_data(seeds, on_progress)
        return load_run_data_with_errors(self, seeds, on_progress)

    def read_probabilities(
        self, probabilities: np.ndarray, class_names: Sequence[str]
    ) -> np.ndarray:
        """Return the probabilities as `default_to_normal` changes them if it is on.

        Args:
          probabilities: (num_beats, classes) of the model.
          class_names: in the order of the columns.
        """
        return self.protocol_errors.read(probabilities, class_names)

    def marks(self) -> Mapping[str, Any]:
        """Return the marks of the experiment, and the switches that are on."""
        errors = self.protocol_errors
        own = {"protocol_errors": errors.as_dict()} if errors.names else {}
        return {**super().marks(), **own}

    def notices(self) -> Sequence[str]:
        """Return the lines of the experiment, and one that says that it has protocol errors."""
        own = (self.protocol_errors.line(),) if self.protocol_errors.names else ()
        return (*super().notices(), *own)

    def tags(self) -> Mapping[str, str]:
        """Return the tags of the experiment, and the switches that are on."""
        return {**super().tags(), **self.protocol_errors.tags()}

    def further_results(self, run_data: RunData) -> FurtherResults:
        """Return the printed ε of the replicated implementation, and ε of the executed steps.

        Args:
          run_data: the data of the run.
        """
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
        """False if a switch is on."""
        return super().states_privacy_loss and not self.protocol_errors.names

    @property
    def title(self) -> str:
        """The title, with the number of switches that are on."""
        count = len(self.protocol_errors.names)
        return f"{super().title} with {count} protocol errors" if count else super().title


def _data(experiment: ReplicationExperiment) -> dict[str, Any]:
    from ecgexp.data.splits.intra_patient import IntraPatient
    from ecgexp.replication.parts import CopiedBefore, FirstBeats

    errors, changed = experiment.protocol_errors, {}
    dataset = experiment.dataset
    if errors.stand_in_lead and not isinstance(dataset, FirstBeats):
        dataset = replace(cast(Any, dataset), missing_lead="first")
    if errors.beat_cap and not isinstance(dataset, FirstBeats):
        dataset = FirstBeats(dataset=dataset)
        changed["grouping"] = replace(experiment.grouping, empty_class="drop")
    if errors.split_by_beat:
        test, validation = SPLIT_FRACTIONS[errors.protocol]
        changed["split"] = IntraPatient(test_fraction=test, validation_fraction=validation)
    if errors.autoscale:
        _require(experiment.features, "scale", "autoscale", "features=image")
        changed["features"] = replace(cast(Any, experiment.features), scale="autoscale")
    if errors.augment_before_split and not isinstance(experiment.augmentation, CopiedBefore):
        if experiment.augmentation.num_views == 1:
            raise ConfigError(
                "protocol_errors.augment_before_split=true: needs copies, but augmentation="
                f"{experiment.augmentation.name} makes none; use augmentation=replication, or "
                "protocol_errors.augment_before_split=false."
            )
        changed["augmentation"] = CopiedBefore.of(experiment.augmentation)
    return changed | {"dataset": dataset}


def _learning(experiment: ReplicationExperiment) -> dict[str, Any]:
    errors, changed = experiment.protocol_errors, {}
    if errors.last_checkpoint:
        changed["selection"] = replace(experiment.selection, weights="last")
    if errors.one_round_less:
        from ecgexp.replication.parts import OneRoundLess

        if getattr(experiment.trainer, "num_rounds", 0) < 2:
            raise ConfigError(
                "protocol_errors.one_round_less=true: needs at least two rounds; use "
                "trainer=federated trainer.num_rounds=20, or protocol_errors.one_round_less=false."
            )
        if not isinstance(experiment.trainer, OneRoundLess):
            changed["trainer"] = OneRoundLess.of(cast(Any, experiment.trainer))
    return changed


def _privacy(experiment: ReplicationExperiment) -> dict[str, Any]:
    """Return the replaced parts of the privacy mechanism.

    A private run with a switch on trains with noise that can be recomputed from its seed, so that
    it is never taken for a run with a privacy guarantee.
    """
    from ecgexp.privacy.settings import PrivacySpec
    from ecgexp.replication.parts import NeverRan, without_noise
    from ecgexp.training.dp.trainer import DpSgd

    errors, privacy = experiment.protocol_errors, experiment.privacy
    if errors.protocol != "dp":
        if experiment.is_private:
            raise ConfigError(
                f"protocol_errors.{errors.names[0]}=true: belongs to a protocol without privacy; "
                "use privacy=none, or experiment=replication/dp, or "
                f"protocol_errors.{errors.names[0]}=false."
            )
        return {}
    if isinstance(privacy, NeverRan):
        return {}
    if not (isinstance(privacy, PrivacySpec) and isinstance(experiment.trainer, DpSgd)):
        raise ConfigError(
            f"protocol_errors.{errors.names[0]}=true: under experiment=replication/dp it needs "
            "DP-SGD with a privacy setting; use trainer=dp privacy=dp, or "
            f"protocol_errors.{errors.names[0]}=false."
        )
    if errors.noise_never_runs:
        changed = {
            "trainer": without_noise(experiment.trainer),
            "privacy": NeverRan(intended=privacy),
        }
        if errors.batch_norm_under_dp:
            _require(experiment.model, "normalization", "batch_norm_under_dp", "model=cnn1d_small")
            changed["model"] = replace(cast(Any, experiment.model), normalization="batch")
        return changed
    seed = experiment.seed if privacy.noise_seed is None else privacy.noise_seed
    sampling = "shuffle" if errors.shuffled_as_poisson else privacy.sampling
    return {"privacy": replace(privacy, noise_seed=seed, sampling=sampling)}


def _require(part: Any, setting: str, error: str, setting_with_it: str) -> None:
    if not hasattr(part, setting):
        raise ConfigError(
            f"protocol_errors.{error}=true: has nothing to change in {type(part).__name__}; use "
            f"{setting_with_it}, or protocol_errors.{error}=false."
        )
