"""The model of a finished run, with how its beats were prepared and what its classes mean."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ecgexp.data.beats import TESTED, TRAINED, databases
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.evaluation.stored_tables import read_predictions
from ecgexp.inference.training_patients import Exposure, exposure_of
from ecgexp.models.classifier import Classifier, load_classifier
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.storage.reading import parse

_CLASSES = "grouping.classes."


class FinishedRun(Protocol):
    """What is needed of the run whose model is used; `analysis.find_runs.StoredRun` has it."""

    @property
    def name(self) -> str:
        """As people know it."""

    @property
    def run_id(self) -> str:
        """Its id, or its folder."""

    @property
    def status(self) -> str:
        """FINISHED, FAILED, KILLED or RUNNING."""

    @property
    def params(self) -> Mapping[str, str]:
        """Dotted name -> value, as text."""

    def artifact(self, path: str) -> Path | None:
        """The file or folder that was kept under `path`; None where the run has none."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A classifier and all it takes to show it a record as it was shown its own.

    Attributes:
      name: of the run.
      classifier: the model.
      preprocessing: what was done to the records it learned from.
      class_of: annotation symbol -> index of its class.
      exposure: whose beats it may have learned from.
      tested_elsewhere: the database that the run was tested on, where that is not the one it learned from, and what was done
        to its records: its leads have other names.
    """

    name: str
    classifier: Classifier
    preprocessing: Preprocessing
    class_of: Mapping[str, int]
    exposure: Exposure
    tested_elsewhere: tuple[str, Preprocessing] | None = None

    @property
    def learned_from(self) -> str:
        """The database whose beats it learned from."""
        return databases(self.classifier.database)[0]

    def for_records_of(self, database: str) -> "TrainedModel":
        """The same model, for records of a database: those of the one it was tested on are prepared as they were then."""
        if self.tested_elsewhere is not None and self.tested_elsewhere[0] == database:
            return replace(self, preprocessing=self.tested_elsewhere[1])
        return self

    @property
    def is_synthetic(self) -> bool:
        """Whether no heart had a part in the training."""
        return self.classifier.database.startswith("synthetic")

    def labels(self, symbols: np.ndarray) -> np.ndarray:
        """(n,) str annotation symbols -> (n,) int64 class index; -1 for a symbol that is in no class."""
        return np.asarray([self.class_of.get(str(symbol), -1) for symbol in symbols], np.int64)


def load_model(run: FinishedRun) -> TrainedModel:
    """Reads what a run left.

    The classes, leads, frequency and window are the saved model's. How the baseline was removed, whether R was moved and
    which symbols make a class are among the run's parameters only, so a model without its run cannot be used here.

    Raises:
      DataError: the run has no model, or does not say how its beats were prepared.
    """
    folder = run.artifact("model")
    if folder is None:
        raise DataError(
            f"run {run.name} ({run.run_id}, {run.status}) has no model; use a run that FINISHED, which ecgexp-ui shows"
        )
    classifier = load_classifier(folder)
    names = databases(classifier.database)
    preprocessings = [
        _preprocessing(run, classifier, part)
        for part in ((TRAINED, TESTED) if len(names) > 1 else (None,))
    ]
    return TrainedModel(
        name=run.name, classifier=classifier, preprocessing=preprocessings[0], class_of=_class_of(run, classifier.class_names),
        exposure=_exposure(run, names[0]), tested_elsewhere=(names[1], preprocessings[1]) if len(names) > 1 else None,
    )  # fmt: skip


def _preprocessing(run: FinishedRun, classifier: Classifier, part: str | None) -> Preprocessing:
    """Of a run on one database, or on the `part` of one on two, which have their own leads."""
    before, after = classifier.before_samples, classifier.window - classifier.before_samples
    where = "dataset" if part is None else f"dataset.{part}"
    values = {
        name: _setting(run, f"{where}.{name}")
        for name in ("missing_lead", "baseline", "bandpass_hz", "relocate_ms")
    }
    values |= {
        "leads": classifier.lead_names if part is None else _setting(run, f"{where}.leads"), "fs_hz": classifier.fs_hz,
        "window_ms": tuple(1000 * samples / classifier.fs_hz for samples in (before, after)),
    }  # fmt: skip
    try:
        return build(Preprocessing, values, path=where)
    except ConfigError as error:
        raise DataError(
            f"run {run.name} was prepared in a way this version does not know: {error}"
        ) from error


def _class_of(run: FinishedRun, class_names: tuple[str, ...]) -> dict[str, int]:
    """A class of the grouping that no beat was of is not among the model's, and its symbols are then in no class."""
    symbols_of = {name: _setting(run, _CLASSES + name) for name in class_names}
    return {
        symbol: index for index, symbols in enumerate(symbols_of.values()) for symbol in symbols
    }


def _setting(run: FinishedRun, name: str) -> Any:
    """A parameter as the value it was before it became text."""
    if name not in run.params:
        raise DataError(
            f"run {run.name} keeps no parameter {name}, without which its model cannot be used; train it again"
        )
    try:
        return parse(run.params[name])
    except ValueError:  # a word: only lists and numbers were written as JSON has them
        return run.params[name]


def _exposure(run: FinishedRun, database: str) -> Exposure:
    wanted = (
        "dataset.records",
        "dataset.train.records",
        "dataset.num_patients",
        "split._target_",
        "split.division",
    )
    params = {name: _setting(run, name) for name in wanted if name in run.params}
    file = run.artifact("predictions/test.parquet")
    tests = None
    if file is not None:
        import pandas as pd

        found = read_predictions(file, fix=run.fix)
        tests = pd.DataFrame(
            {"record": found.records, "patient": found.patients, "sample": found.samples}
        )
    return exposure_of(params, database, tests)
