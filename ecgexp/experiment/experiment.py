"""The parts of a run, and the check that they fit together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.augmentation.base import Augmentation
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.datasets.pseudonyms import with_pseudonyms
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.partition.base import Partition
from ecgexp.data.preprocessing.settings import OnProgress
from ecgexp.data.splits.base import Splitter
from ecgexp.data.splits.cross_database import check_databases
from ecgexp.evaluation.score_names import epoch_score_names
from ecgexp.experiment.data import RunData, load_run_data
from ecgexp.experiment.debug import Debug
from ecgexp.experiment.federated_baselines import FederatedBaselines
from ecgexp.experiment.part_checks import (
    check_classes,
    check_clients,
    check_features,
    check_model,
    check_parts,
    check_patients_known,
    check_privacy,
    check_rows,
    option_of,
)
from ecgexp.experiment.teacher import check_teacher, with_teacher
from ecgexp.features.inputs import Features
from ecgexp.models.base import ModelBuilder
from ecgexp.privacy.plan import Privacy
from ecgexp.privacy.unit_checks import check_units_apart
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import Part, Seed, Whole, check_named_once, settings
from ecgexp.tracking.settings import Tracking
from ecgexp.training.base import Trainer
from ecgexp.training.checkpointing.manager import CheckpointRule
from ecgexp.training.device import Device
from ecgexp.training.loss import Loss
from ecgexp.training.model_selection import Selection

# Their types are protocols, which Pydantic does not check. Neither a model nor a result depends on
# where a run is tracked, so any tracker is accepted.
_PARTS = (
    "dataset",
    "split",
    "features",
    "augmentation",
    "model",
    "loss",
    "trainer",
    "privacy",
    "partition",
)


@dataclass(frozen=True, kw_only=True)
class FurtherResults:
    """The results that a subclass of `Experiment` adds to those of a run.

    Attributes:
      metrics: final metrics.
      marks: further keys of `marks` in `result.json`, beside those of `Experiment.marks`.
      lines: lines for the console.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


@settings
class Figures:
    """The figures of a run, which have no effect on its result.

    Attributes:
      format: file format; `svg` and `pdf` are sharp at any size.

    Example:
      >>> Figures(format="pdf").format
      'pdf'
    """

    format: Literal["png", "svg", "pdf"] = "png"


@settings
class Experiment:
    """All parts of a run; each is a settings object, usually built by `ecgexp.config.compose`.

    Attributes:
      seed: seed of all random numbers; in a run with a privacy guarantee, noise, sampling, failures
        of clients, augmentation and dropout are not seeded.
      dataset: the beats (`ecgexp.data`).
      grouping: annotation symbols -> classes.
      split: the training, validation and test beats.
      features: what the model gets of a beat.
      augmentation: random copies of training beats.
      model: the architecture, or a classical model.
      loss: loss of one example.
      trainer: centralized, DP-SGD or federated; of a classical model, its fit.
      privacy: the privacy guarantee, or none.
      partition: the beats of each client.
      tracking: where the run is stored.
      selection: which epoch is selected.
      device: the device that computes.
      evaluate_on: splits that are evaluated at the end; leave out `test` during model development.
      test: `sealed`: the run scores no test beats, and `ecgexp-open` scores them later, for one run
        of the study.
      num_resamples: bootstrap resamples for each 95 % interval; 0 for none.
      federated_baselines: models that a federated one is compared with; by default none.
      checkpoints: how often the state of training is saved.
      figures: file format of the figures.
      debug: whether the run only tries the configuration, on few beats.

    Raises:
      ConfigError: two parts do not fit together.

    Example:
      >>> from ecgexp.config import load_experiment
      >>> experiment = load_experiment(["trainer=dp", "privacy.noise_multiplier=1.1"])
      >>> experiment.is_private, experiment.has_privacy_guarantee
      (True, True)
    """

    seed: Seed
    dataset: Part[Dataset]
    grouping: LabelGrouping
    split: Part[Splitter]
    features: Part[Features]
    augmentation: Part[Augmentation]
    model: Part[ModelBuilder]
    loss: Part[Loss]
    trainer: Part[Trainer]
    privacy: Part[Privacy]
    partition: Part[Partition]
    tracking: Part[Tracking]
    selection: Selection
    device: Device
    evaluate_on: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    test: Literal["open", "sealed"] = "open"
    num_resamples: Annotated[Whole, Field(ge=0, le=100_000)] = 1000
    federated_baselines: FederatedBaselines = FederatedBaselines()
    checkpoints: CheckpointRule = CheckpointRule()
    figures: Figures = Figures()
    debug: Debug = Debug()

    def __post_init__(self):
        check_parts({name: getattr(self, name) for name in _PARTS})
        check_named_once("evaluate_on", self.evaluate_on)
        self.debug.check(self.evaluate_on)
        check_classes(self.grouping)
        self.selection.check_metric(
            epoch_score_names(self.grouping.classes, has_clients=not self.partition.is_pooled)
        )
        check_databases(self.dataset, self.split)
        check_model(self)
        check_features(self.features, self.model, self.augmentation)
        check_rows(self.dataset, self.features)
        check_patients_known(
            self.dataset.knows_patients,
            split=self.split,
            partition=self.partition,
            privacy=self.privacy,
        )
        check_privacy(self)
        check_clients(self.trainer, self.partition)
        self.federated_baselines.check(
            self.trainer,
            is_pooled=self.partition.is_pooled,
            is_private=self.is_private,
            evaluates_test="test" in self.evaluated,
        )

    def check_can_start(self) -> None:
        """Check that this machine has what the run needs, before anything expensive.

        Neither TensorFlow nor a store is opened, and no data are read: the libraries of the
        trainer, the device and the files of the database are looked up.

        Raises:
          ConfigError: a library, a GPU, a teacher, or one of two databases is missing.
          DataError: the database is missing.
        """
        self.trainer.check_installed()
        self.device.check_available()
        self.dataset.check_there()
        check_teacher(self.loss)

    def load_run_data(self, seeds: Seeds, on_progress: OnProgress) -> RunData:
        """Load, split, assign and transform the beats; see `ecgexp.experiment.data.load_run_data`.

        Args:
          seeds: the random streams of the run.
          on_progress: called with the progress.

        Returns:
          The data of the run.

        Raises:
          ConfigError: a unit of privacy has beats in the training set and outside it, or see
            `load_run_data` and `teacher.with_teacher`.
          DataError: see `load_run_data`.
        """
        run_data = load_run_data(
            dataset=self.dataset,
            grouping=self.grouping,
            split=self.split,
            partition=self.partition,
            features=self.features,
            seeds=seeds,
            on_progress=on_progress,
            few_of=partial(
                self.debug.few_of,
                unit=self.privacy.unit if self.is_private else None,
                seed=self.seed,
            ),
            is_private=self.is_private,
        )
        check_patients_known(
            run_data.beats.knows_patients,
            split=self.split,
            partition=self.partition,
            privacy=self.privacy,
        )
        if self.has_privacy_guarantee:
            holdout = {name: rows for name, rows in run_data.indices.items() if name != "train"}
            check_units_apart(
                self.privacy.unit, run_data.beats.patient_ids, run_data.split.train, holdout
            )
        run_data = with_teacher(self, run_data, on_progress)
        return replace(run_data, withholds_training=self.withholds)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The splits that the run evaluates: those of `evaluate_on`, without sealed test beats."""
        return tuple(split for split in self.evaluate_on if split != "test" or self.test == "open")

    @property
    def is_private(self) -> bool:
        """Whether a privacy setting is given."""
        return self.privacy.is_private

    @property
    def states_privacy_loss(self) -> bool:
        """Whether the run states its privacy loss.

        A subclass that breaks the privacy guarantee on purpose returns False.
        """
        return self.is_private

    @property
    def has_privacy_guarantee(self) -> bool:
        """Whether the run may state an ε as a privacy guarantee."""
        return self.states_privacy_loss and self.privacy.may_have_privacy_guarantee

    @property
    def withholds(self) -> bool:
        """Whether values computed from training beats without noise stay in `private/`."""
        return self.has_privacy_guarantee and self.privacy.publish != "all"

    @property
    def title(self) -> str:
        """A short description of the run: `cnn1d centralized seed 0`."""
        return f"{_kind(self.model).lower()} {_kind(self.trainer).lower()} seed {self.seed}"

    def resolved(self) -> "Experiment":
        """Return the experiment that runs; own recordings have pseudonyms under a guarantee.

        Subclasses may replace more parts. The method is idempotent.

        Raises:
          ConfigError: There is no folder for the key of the pseudonyms.
        """
        if not self.has_privacy_guarantee:
            return self
        dataset = with_pseudonyms(self.dataset)
        return self if dataset is self.dataset else replace(self, dataset=dataset)

    def read_probabilities(
        self, probabilities: np.ndarray, class_names: Sequence[str]
    ) -> np.ndarray:
        """Return the probabilities that are evaluated; here those of the model.

        Args:
          probabilities: (num_beats, classes) of the model.
          class_names: in the order of the columns.

        Returns:
          (num_beats, classes) probabilities.
        """
        return probabilities

    def marks(self) -> Mapping[str, Any]:
        """Return what `result.json` contains about the experiment itself, also of a failed run.

        Returns:
          key -> JSON-serializable value; here that of a debug run.
        """
        return self.debug.tags()

    def notices(self) -> Sequence[str]:
        """Return lines for the console, printed before any data are read; here of a debug run."""
        return self.debug.notices(spends=self.has_privacy_guarantee)

    def options(self) -> Mapping[str, str]:
        """Return the tags by which MLflow's table shows the model and the trainer."""
        return {"model": option_of(self.model), "trainer": option_of(self.trainer)}

    def tags(self) -> Mapping[str, str]:
        """Return tags of the run that follow from the experiment; here that of a debug run."""
        return self.debug.tags()

    def further_results(self, run_data: RunData) -> FurtherResults:
        """Return the results of a finished run beside its scores; here none.

        Args:
          run_data: the data of the run.
        """
        return FurtherResults()


def _kind(value: Any) -> str:
    return type(value).__name__
