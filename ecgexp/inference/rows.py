"""Classification of beats that are cut already, by a model that was trained on such beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.datasets.arrays import HEARTBEAT_CLASSES, is_heartbeat_csv
from ecgexp.data.formats.beat_file import Wanted, refused
from ecgexp.data.formats.beat_labels import named_labels
from ecgexp.data.formats.read_beats import is_beside, read_beats
from ecgexp.inference.model import TrainedModel
from ecgexp.settings.declaration import DataError
from ecgexp.storage.json_text import parse

if TYPE_CHECKING:
    import pandas as pd

_NAMES = ("signals", "labels", "classes", "ignore")
_WORDS = {"None": None, "null": None}


@dataclass(frozen=True, kw_only=True)
class ClassifiedRows:
    """The beats of a file with the predictions of a model.

    Attributes:
      name: Of the file.
      class_names: Classes of the model.
      probabilities: (num_beats, num_classes) float64.
      references: (num_beats,) str, the label of each; empty without one.
      labels: (num_beats,) int64, class of the label; -1 without one, or if it is in no class.
    """

    name: str
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    references: np.ndarray
    labels: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(num_beats,) int64, class index."""
        return self.probabilities.argmax(axis=1)

    @property
    def counts(self) -> dict[str, int]:
        """Class -> number of beats, including zeros."""
        numbers = np.bincount(self.predicted, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    @property
    def agreement(self) -> tuple[int, int]:
        """Number of beats whose label is a class, and how many of them are predicted so."""
        known = self.labels >= 0
        return int(known.sum()), int(np.sum(self.predicted[known] == self.labels[known]))

    def table(self) -> "pd.DataFrame":
        """Return a table with one row per beat: row, class, probability/<class>, reference."""
        import pandas as pd

        names = np.asarray(self.class_names)
        columns = {"row": np.arange(len(self.labels)), "class": names[self.predicted]}
        columns |= {
            f"probability/{name}": self.probabilities[:, i]
            for i, name in enumerate(self.class_names)
        }
        return pd.DataFrame(columns | {"reference": self.references})


def classify_rows(model: TrainedModel, path: Path, params: Mapping[str, str]) -> ClassifiedRows:
    """Classify every beat of a file.

    Args:
      model: Trained on such beats.
      path: The file, of the layout of the training file; its labels may be missing.
      params: Parameters of the run, which name the columns and arrays.

    Returns:
      The beats and predictions.

    Raises:
      DataError: The model was trained on records, or the file is damaged or of another layout.
    """
    classifier = model.classifier
    if classifier.preprocessing.from_records:
        raise DataError(
            f"{path.name}: a file of beats, but the model of run {model.name} was trained on "
            "records; use a record, or a model trained with dataset=arrays"
        )
    settings = {name: _setting(params, f"dataset.{name}") for name in _NAMES}
    labels = settings["labels"]
    wanted = Wanted(
        signals=settings["signals"],
        labels=None if is_beside(labels) else labels,
        rr=classifier.uses_rr,
        ignore=tuple(settings["ignore"] or ()),
        needs_labels=False,
        samples=classifier.window,
    )
    found = read_beats(path, wanted)
    shape = (classifier.window, classifier.leads)
    if found.signals.shape[1:] != shape:
        raise refused(
            path,
            f"has beats of the shape {found.signals.shape[1:]}, and the model takes {shape} at "
            f"{classifier.fs_hz:g} Hz",
            "use a file of the layout of the training file",
        )
    references = np.full(len(found.signals), "", np.str_)
    if found.labels is not None:
        classes: Sequence[str] | None = settings["classes"]
        if classes is None and is_heartbeat_csv(path, found):
            classes = HEARTBEAT_CLASSES
        references = named_labels(path, found.labels, classes)
    rr = None
    if found.rr is not None:
        rr = np.zeros((len(found.rr), len(RR_FEATURES)), np.float32)
        rr[:, : found.rr.shape[1]] = found.rr
    return ClassifiedRows(
        name=path.name,
        class_names=classifier.class_names,
        probabilities=classifier.predict_probabilities(found.signals, rr),
        references=references,
        labels=model.labels(references),
    )


def _setting(params: Mapping[str, str], name: str) -> Any:
    """Return a setting of the run, which is stored as text; None if it has none."""
    text = params.get(name, "None")
    try:
        return _WORDS[text] if text in _WORDS else parse(text)
    except ValueError:  # only lists and numbers are stored as JSON
        return text
