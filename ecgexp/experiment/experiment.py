"""What a run is made of, and what of it does not go together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.data.partition.natural import Pooled
from ecgexp.data.splits import IntraPatient, WithinRecord, check_databases
from ecgexp.evaluation.names import metric_names
from ecgexp.experiment.data import RunData, load_run_data
from ecgexp.experiment.federated_baselines import FederatedBaselines
from ecgexp.privacy.plan import PrivacySpec
from ecgexp.privacy.statement import check_unit_covers_features, check_units_apart, shared_units
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError, Seed, Whole, check_named_once, settings
from ecgexp.training.checkpointing.manager import CheckpointRule
from ecgexp.training.device import Device
from ecgexp.training.model_selection import Selection


@dataclass(frozen=True, kw_only=True)
class FurtherResults:
    """What an experiment adds to the results of a run.

    Attributes:
      metrics: final metrics.
      marks: what is added to `Experiment.marks` in `result.json`.
      lines: for the console.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


@settings
class Experiment:
    """Everything a run is made of; each part is a settings object, usually built from YAML by `ecgexp.config.compose`.

    Attributes:
      seed: of every random stream but privacy noise.
      dataset: the beats (`ecgexp.data`).
      grouping: symbols -> classes.
      split: who is trained on and who is tested.
      features: what the model sees of a beat.
      augmentation: random copies of training beats.
      model: the architecture.
      loss: per example.
      trainer: centralized, under privacy, or federated.
      privacy: the promise, or none.
      partition: which client holds which beats.
      tracking: where the run is kept.
      selection: which epoch is kept.
      device: where to compute.
      evaluate_on: splits that are scored at the end; while a model is being chosen, leave `test` out.
      num_resamples: of the bootstrap behind each 95 % interval; 0 for none.
      federated_baselines: what a federated model is held against; by default nothing.
      checkpoints: how often the state of training is written down.
    """

    seed: Seed
    dataset: Any
    grouping: Any
    split: Any
    features: Any
    augmentation: Any
    model: Any
    loss: Any
    trainer: Any
    privacy: Any
    partition: Any
    tracking: Any
    selection: Selection
    device: Device
    evaluate_on: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    num_resamples: Annotated[Whole, Field(ge=0, le=100_000)] = 1000
    federated_baselines: FederatedBaselines = FederatedBaselines()
    checkpoints: CheckpointRule = CheckpointRule()

    def __post_init__(self):
        check_named_once("evaluate_on", self.evaluate_on)
        self._check_classes()
        check_databases(self.dataset, self.split)
        self._check_features()
        self._check_privacy()
        self._check_clients()
        self.federated_baselines.check(
            self.trainer,
            is_pooled=isinstance(self.partition, Pooled),
            is_private=self.is_private,
            evaluates_test="test" in self.evaluate_on,
        )

    def _check_classes(self) -> None:
        """Every class has metrics of its own."""
        try:
            metric_names(list(self.grouping.classes))
        except ValueError as error:
            raise ConfigError(
                f"grouping.classes={_listed(frozenset(self.grouping.classes))}: {error}"
            ) from error

    def _check_features(self) -> None:
        """What the input makes is what the model takes and the augmentation changes."""
        made, model, changed = self.features.names(), self.model, self.augmentation.features
        makes = f"{_kind(self.features)} makes {_listed(made)}"
        if missing := model.required_features - made:
            raise ConfigError(
                f"{_kind(model)} takes {_listed(model.required_features)} and {makes}; type features={min(missing)}"
            )
        if surplus := made - model.required_features - model.optional_features:
            raise ConfigError(
                f"{makes}, and {_kind(model)} does not take {_listed(surplus)}; choose another input"
            )
        if missing := changed - made:
            raise ConfigError(
                f"augmentation={self.augmentation.name} changes {_listed(changed)} and {makes}; "
                f"type augmentation=none or features={min(missing)}"
            )

    def _check_privacy(self) -> None:
        """A promise is made exactly where it is kept, and nothing in the run would break it."""
        if not self.is_private:
            if self.trainer.needs_privacy:
                raise ConfigError(
                    f"{_kind(self.trainer)} needs a promise to keep and privacy=none makes none; "
                    "type privacy=dp privacy.noise_multiplier=1.1, or trainer=centralized"
                )
            return
        units = self.trainer.privacy_units
        if not units:
            raise ConfigError(
                f"privacy was asked for, and {_kind(self.trainer)} gives none; type trainer=dp, or privacy=none"
            )
        if self.privacy.unit not in units:
            raise ConfigError(
                f"privacy.unit={self.privacy.unit}: {_kind(self.trainer)} can promise to a {' or a '.join(sorted(units))}; type "
                "privacy.unit=patient, or privacy=patient, whose clip suits it"
            )
        self.trainer.check_privacy(self.privacy)
        check_unit_covers_features(self.privacy.unit, self.features.features_crossing_beats)
        if (
            self.has_privacy_guarantee
            and self.privacy.unit != "beat"
            and isinstance(self.split, IntraPatient | WithinRecord)
        ):
            raise ConfigError(shared_units(self.privacy.unit, "validation or test beats"))
        if self.device.mixed_precision:
            raise ConfigError(
                "device.mixed_precision=true skips the steps in which float16 overflows, which depends on the data: "
                "under privacy type device.mixed_precision=false"
            )
        if getattr(self.model, "normalization", "none") == "batch":
            raise ConfigError(
                "model.normalization=batch mixes the beats of a batch, so that no beat's part in a gradient is bounded; "
                "under privacy type model.normalization=group"
            )

    def _check_clients(self) -> None:
        """Clients are dealt exactly where they are trained."""
        pooled = isinstance(self.partition, Pooled)
        if self.trainer.needs_clients and pooled:
            raise ConfigError(
                f"{_kind(self.trainer)} trains clients and partition=none deals all beats to one; type partition=by_patient"
            )
        if not self.trainer.needs_clients and not pooled:
            raise ConfigError(
                f"{_kind(self.trainer)} trains on pooled beats and {_kind(self.partition)} deals them to clients; type "
                "partition=none, or trainer=federated"
            )

    def load_run_data(self, seeds: Seeds, on_progress: Callable[..., None]) -> RunData:
        """Its beats, split, dealt and transformed; see `ecgexp.experiment.data.load_run_data`."""
        run_data = load_run_data(
            dataset=self.dataset,
            grouping=self.grouping,
            split=self.split,
            partition=self.partition,
            features=self.features,
            seeds=seeds,
            on_progress=on_progress,
        )
        if self.has_privacy_guarantee:
            holdout = {name: rows for name, rows in run_data.indices.items() if name != "train"}
            check_units_apart(
                self.privacy.unit, run_data.beats.patient_ids, run_data.split.train, holdout
            )
        return replace(run_data, withholds_training=self.withholds)

    @property
    def is_private(self) -> bool:
        """Whether a promise of privacy was asked for."""
        return isinstance(self.privacy, PrivacySpec)

    @property
    def states_privacy_loss(self) -> bool:
        """Whether the run states what its promise of privacy costs; a subclass that breaks it on purpose says no."""
        return self.is_private

    @property
    def has_privacy_guarantee(self) -> bool:
        """Whether the run may state an ε as a privacy guarantee."""
        return self.states_privacy_loss and self.privacy.may_have_privacy_guarantee

    @property
    def withholds(self) -> bool:
        """Whether what tells of training beats and is not covered stays in the run's folder `private/`."""
        return self.has_privacy_guarantee and self.privacy.publish != "all"

    @property
    def title(self) -> str:
        """A few words that tell the run from others: `cnn1d centralized seed 0`."""
        return f"{_kind(self.model).lower()} {_kind(self.trainer).lower()} seed {self.seed}"

    def resolved(self) -> "Experiment":
        """The experiment that runs: this one, unless a subclass replaces parts of it. Doing it twice changes nothing more."""
        return self

    def read_probabilities(
        self, probabilities: np.ndarray, class_names: Sequence[str]
    ) -> np.ndarray:
        """(num_beats, classes) probabilities as they are scored: as the model gives them."""
        return probabilities

    def marks(self) -> Mapping[str, Any]:
        """What `result.json` says of the experiment itself, also where it fails: key -> JSON-able value; here nothing."""
        return {}

    def notices(self) -> Sequence[str]:
        """Lines for the console, before anything is read; here none."""
        return ()

    def tags(self) -> Mapping[str, str]:
        """Tags of the run that come from the experiment; here none."""
        return {}

    def further_results(self, run_data: RunData) -> FurtherResults:
        """What a finished run has beside its scores; here nothing."""
        return FurtherResults()


def _kind(value: Any) -> str:
    return type(value).__name__


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
