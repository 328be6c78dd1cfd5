"""The model of a finished run, with the preprocessing and label grouping of the run."""

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
from ecgexp.storage.json_text import parse

_CLASSES = "grouping.classes."


class FinishedRun(Protocol):
    """The properties of a stored run that are used; `analysis.find_runs.StoredRun` has them."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def run_id(self) -> str:
        """Its id, or its folder."""
        ...

    @property
    def status(self) -> str:
        """Its status: FINISHED, FAILED, KILLED or RUNNING."""
        ...

    @property
    def params(self) -> Mapping[str, str]:
        """Its parameters: dotted name -> value, as text."""
        ...

    @property
    def fix(self) -> str:
        """What can be done about a damaged file of it."""
        ...

    def artifact(self, path: str) -> Path | None:
        """Return the file or folder of the artifact `path`; None if the run does not have it."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A classifier, and what is needed to process records as in its training.

    Attributes:
      name: Name of the run.
      classifier: The model.
      preprocessing: Preprocessing of the training records.
      class_of: Annotation symbol -> index of its class.
      exposure: The records and patients that the model may have been trained on.
      tested_elsewhere: The test database, if it differs from the training database, and the
        preprocessing of its records, whose leads have other names; otherwise None.
    """

    name: str
    classifier: Classifier
    preprocessing: Preprocessing
    class_of: Mapping[str, int]
    exposure: Exposure
    tested_elsewhere: tuple[str, Preprocessing] | None = None

    @property
    def learned_from(self) -> str:
        """The training database."""
        return databases(self.classifier.database)[0]

    def for_records_of(self, database: str) -> "TrainedModel":
        """Return the model with the preprocessing for records of a database.

        Args:
          database: Name and version, e.g. `"svdb 1.0.0"`.

        Returns:
          The model; for the test database, with the preprocessing of the test.
        """
        if self.tested_elsewhere is not None and self.tested_elsewhere[0] == database:
            return replace(self, preprocessing=self.tested_elsewhere[1])
        return self

    @property
    def is_synthetic(self) -> bool:
        """Whether the training data are synthetic."""
        return self.classifier.database.startswith("synthetic")

    def labels(self, symbols: np.ndarray) -> np.ndarray:
        """Return the classes of annotation symbols.

        Args:
          symbols: (num_beats,) str.

        Returns:
          (num_beats,) int64, class index; -1 for a symbol that is in no class.
        """
        return np.asarray([self.class_of.get(str(symbol), -1) for symbol in symbols], np.int64)


def load_model(run: FinishedRun) -> TrainedModel:
    """Load the model of a run.

    Classes, leads, frequency and window are stored with the model. Baseline removal, relocation of
    R peaks and the symbols of each class are stored only as parameters of the run, so that a model
    without its run cannot be used.

    Args:
      run: The run.

    Returns:
      The model.

    Raises:
      DataError: The run has no model, or no parameters of its preprocessing.
    """
    folder = run.artifact("model")
    if folder is None:
        raise DataError(
            f"run {run.name} ({run.run_id}, {run.status}) has no model; use a run with the status "
            "FINISHED, as listed by ecgexp-ui"
        )
    classifier = load_classifier(folder)
    first, *others = databases(classifier.database)
    preprocessings = [
        _preprocessing(run, classifier, part) for part in ((TRAINED, TESTED) if others else (None,))
    ]
    return TrainedModel(
        name=run.name,
        classifier=classifier,
        preprocessing=preprocessings[0],
        class_of=_class_of(run, classifier.class_names),
        exposure=_exposure(run, first),
        tested_elsewhere=(others[0], preprocessings[1]) if others else None,
    )


def _preprocessing(run: FinishedRun, classifier: Classifier, part: str | None) -> Preprocessing:
    """Return the preprocessing of the dataset, or of a `part` of a dataset of two databases."""
    before, after = classifier.before_samples, classifier.window - classifier.before_samples
    where = "dataset" if part is None else f"dataset.{part}"
    values = {
        name: _setting(run, f"{where}.{name}")
        for name in ("missing_lead", "baseline", "bandpass_hz", "relocate_ms")
    }
    values |= {
        "leads": classifier.lead_names if part is None else _setting(run, f"{where}.leads"),
        "fs_hz": classifier.fs_hz,
        "window_ms": tuple(1000 * samples / classifier.fs_hz for samples in (before, after)),
    }
    try:
        return build(Preprocessing, values, path=where)
    except ConfigError as error:
        raise DataError(
            f"run {run.name} has settings of preprocessing that this version does not support: "
            f"{error}"
        ) from error


def _class_of(run: FinishedRun, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return symbol -> class index.

    Classes of the grouping without beats are not classes of the model, and their symbols are in no
    class.
    """
    symbols_of = {name: _setting(run, _CLASSES + name) for name in class_names}
    return {
        symbol: index for index, symbols in enumerate(symbols_of.values()) for symbol in symbols
    }


def _setting(run: FinishedRun, name: str) -> Any:
    """Return the value of a parameter, which is stored as text."""
    if name not in run.params:
        raise DataError(
            f"run {run.name} has no parameter {name}, which is needed to use its model; train it "
            "again"
        )
    try:
        return parse(run.params[name])
    except ValueError:  # a text; only lists and numbers are stored as JSON
        return run.params[name]


def _exposure(run: FinishedRun, database: str) -> Exposure:
    names = (
        "dataset.records",
        "dataset.train.records",
        "dataset.num_patients",
        "split._target_",
        "split.division",
    )
    params = {name: _setting(run, name) for name in names if name in run.params}
    file = run.artifact("predictions/test.parquet")
    tests = None
    if file is not None:
        import pandas as pd

        found = read_predictions(file, fix=run.fix)
        tests = pd.DataFrame(
            {"record": found.records, "patient": found.patients, "sample": found.samples}
        )
    return exposure_of(params, database, tests)
