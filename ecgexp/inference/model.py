"""The model of a finished run, with the label grouping of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ecgexp.data.beats import databases
from ecgexp.evaluation.stored_tables import read_predictions
from ecgexp.inference import csv_columns, symbol_labels
from ecgexp.inference.own_records import SETTINGS, OwnRecords, own_records
from ecgexp.inference.training_patients import Exposure, exposure_of
from ecgexp.models.classifier import Classifier
from ecgexp.models.saved_classifier import load_classifier
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
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
    """A classifier, and what is needed to compare its predictions with reference annotations.

    Attributes:
      name: Name of the run.
      classifier: The model, with its preprocessing.
      class_of: Annotation symbol -> index of its class.
      exposure: The records and patients that the model may have been trained on.
      own: The own recordings that the run read; None for a published database.
    """

    name: str
    classifier: Classifier
    class_of: Mapping[str, int]
    exposure: Exposure
    own: OwnRecords | None = None

    @property
    def learned_from(self) -> str:
        """The training database."""
        return databases(self.classifier.database)[0]

    @property
    def is_synthetic(self) -> bool:
        """Whether the training data are synthetic."""
        return self.classifier.database.startswith("synthetic")

    def own_notes(self, stems: Sequence[Path]) -> list[str]:
        """Return notes on the records, by their paths without suffix, that the run itself read."""
        return [] if self.own is None else list(self.own.notes(stems))

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

    Classes and preprocessing are stored with the model, the symbols of each class only as
    parameters of the run.

    Args:
      run: The run.

    Returns:
      The model.

    Raises:
      DataError: The run has no model, or no parameters of its grouping.
    """
    folder = run.artifact("model")
    if folder is None:
        raise DataError(
            f"run {run.name} ({run.run_id}, {run.status}) has no model; use a run with the status "
            f"FINISHED, as listed by {to_type('ecgexp-runs')}"
        )
    classifier = load_classifier(folder)
    exposure = _exposure(run, databases(classifier.database)[0])
    return TrainedModel(
        name=run.name,
        classifier=classifier,
        class_of=_class_of(run, classifier.class_names),
        exposure=exposure,
        own=_own_records(run, exposure),
    )


def _class_of(run: FinishedRun, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return symbol -> class index.

    Classes of the grouping without beats are not classes of the model, and their symbols are in no
    class.
    """
    if _CLASSES[:-1] in run.params:  # a list: every label is a class
        return {name: index for index, name in enumerate(class_names)}
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


def layout_settings(run: FinishedRun) -> dict[str, Any]:
    """Return the parameters of a run that say what columns of CSV files and symbols mean."""
    names = (*csv_columns.SETTINGS, *symbol_labels.names_in(run.params), "dataset.parts")
    return {name: _setting(run, name) for name in names if name in run.params}


def _own_records(run: FinishedRun, exposure: Exposure) -> OwnRecords | None:
    keys = [f"{part}{key}" for part in ("", "train.") for key in SETTINGS]
    names = [f"dataset.{key}" for key in (*keys, "parts")]
    params = {name: _setting(run, name) for name in names if name in run.params}
    file = run.artifact("predictions/validation.parquet") if params else None
    validated = () if file is None else read_predictions(file, fix=run.fix).records.tolist()
    return own_records(
        params,
        validated=frozenset(map(str, validated)),
        tested=frozenset(exposure.tested_on),
        keeps_records_whole=exposure.tests_whole_records,
    )
