"""A trained classifier as a folder of data, and back: no pickle, no code, nothing that loading could execute.

The folder holds `model.json` (the settings of the architecture and of its input, the classes, the shape of a window) and
`weights.npz`. The architecture is rebuilt from our own settings classes, so neither file can name anything else.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp._build import build_node, to_node
from ecgexp._files import replacing_folder
from ecgexp._validate import ConfigError, DataError
from ecgexp.beats import RR_FEATURES
from ecgexp.inputs import Input, input_shapes
from ecgexp.models.base import ModelBuilder
from ecgexp.privacy import outputs

_FILES = ("model.json", "weights.npz")
_FORMAT = 5


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained model together with what turns a raw window into its input.

    Attributes:
      builder: the architecture.
      model_input: windows in millivolts -> the model's inputs.
      weights: in Keras' order.
      class_names: in the order of the columns of the probabilities.
      window: samples in a window.
      lead_names: the leads of a window, in order.
      fs_hz: sampling frequency of a window.
      before_samples: samples of the window before its R peak.
      database: what it was trained on; says so when that was synthetic.
      classes_without_training_beats: what it cannot have learned; None where that is withheld, as under a privacy guarantee.
    """

    builder: ModelBuilder
    model_input: Input
    weights: list[np.ndarray]
    class_names: tuple[str, ...]
    window: int
    lead_names: tuple[str, ...]
    fs_hz: float
    before_samples: int
    database: str
    classes_without_training_beats: tuple[str, ...] | None = None

    @property
    def leads(self) -> int:
        """Leads in a window."""
        return len(self.lead_names)

    @property
    def uses_rr(self) -> bool:
        """Whether `predict_probabilities` needs the RR features."""
        return self.model_input.uses_rr

    @property
    def uses_usual_beat(self) -> bool:
        """Whether it needs the usual beat of the record."""
        return self.model_input.uses_usual_beat

    def predict_probabilities(
        self, signals_mv: np.ndarray, rr: np.ndarray | None = None, usual_mv: np.ndarray | None = None, *,
        batch_size: int = 1024,
    ) -> np.ndarray:  # fmt: skip
        """Class probabilities of raw windows.

        Args:
          signals_mv: (num_beats, window, leads) millivolts, baseline removed.
          rr: (num_beats, 20), the columns of `ecgexp.beats.RR_FEATURES`; only where `uses_rr`.
          usual_mv: (num_beats, window, leads) millivolts, the usual beat of each one's record
            (`ecgexp.data.windows.usual_beat`); only where `uses_usual_beat`.
          batch_size: windows per call.

        Returns:
          (num_beats, num_classes) float64, rows summing to 1.

        Raises:
          ValueError: windows of another shape than the model was trained on.
        """
        import tensorflow as tf

        from ecgexp.training.resident import as_model_input

        signals_mv = np.asarray(signals_mv, np.float32)
        if signals_mv.shape[1:] != (self.window, self.leads):
            raise ValueError(
                f"windows must be (n, {self.window}, {self.leads}) at {self.fs_hz:g} Hz; these are {signals_mv.shape}"
            )
        parts = []
        for at in range(0, len(signals_mv), batch_size):
            rows = slice(at, at + batch_size)
            features = self.model_input.transform(signals_mv[rows], _rows(rr, rows), _rows(usual_mv, rows))
            logits = self._model(
                {name: as_model_input(tf.constant(array)) for name, array in features.items()}, training=False
            )
            parts.append(tf.nn.softmax(tf.cast(logits, tf.float64)).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)))

    @cached_property
    def _model(self) -> Any:
        window = np.zeros((1, self.window, self.leads), np.float32)
        features = self.model_input.transform(window, np.ones((1, len(RR_FEATURES)), np.float32), window)
        model = self.builder.build(input_shapes(features), len(self.class_names))
        model.set_weights(self.weights)
        return model


def _rows(array: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if array is None else np.asarray(array, np.float32)[rows]


def save_classifier(classifier: Classifier, folder: Path) -> Path:
    """Writes `classifier` as `folder`, whole or not at all; a model that is there is replaced.

    **Guarantees** `model.json` holds only what `privacy.outputs.TABLE` lists: the folder is handed on whatever the run withholds.
    A run with a privacy guarantee leaves null what the table withholds.

    Raises:
      ConfigError: the folder holds something else.
      ValueError: the description has a key that the table lacks.
    """
    others = sorted(path.name for path in folder.glob("*") if path.name not in _FILES)
    if others:
        raise ConfigError(f"{folder} holds other files than a model ({others[0]}); use a new or an empty folder")
    with replacing_folder(folder) as part:
        _write(classifier, part)
    return folder


def _write(classifier: Classifier, folder: Path) -> None:
    np.savez(folder / "weights.npz", **{f"w{i:03d}": array for i, array in enumerate(classifier.weights)})
    description = {
        "format": _FORMAT,
        "model": to_node(classifier.builder),
        "input": to_node(classifier.model_input),
        "class_names": list(classifier.class_names),
        "window": classifier.window,
        "lead_names": list(classifier.lead_names),
        "fs_hz": classifier.fs_hz,
        "before_samples": classifier.before_samples,
        "database": classifier.database,
        "classes_without_training_beats": classifier.classes_without_training_beats,
        "weights_sha256": hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest(),
    }
    if unlisted := [name for name in description if outputs.find("model content", name) is None]:
        raise ValueError(f"model.json would hold {', '.join(unlisted)}, which privacy.outputs.TABLE lacks")
    (folder / "model.json").write_text(json.dumps(description, indent=2))


def load_classifier(folder: Path | str) -> Classifier:
    """Reads what `save_classifier` wrote.

    Raises:
      DataError: a file is missing, damaged, or of another format.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "model.json").read_text())
        payload = (folder / "weights.npz").read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no saved model: {error}") from error
    if description.get("format") != _FORMAT:
        raise DataError(
            f"{folder}/model.json has format {description.get('format')!r}; this version reads format {_FORMAT}"
        )
    if hashlib.sha256(payload).hexdigest() != description["weights_sha256"]:
        raise DataError(
            f"{folder}/weights.npz is damaged: its SHA-256 is not the one in model.json; copy the folder again"
        )
    unlearned = description["classes_without_training_beats"]
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        weights = [archive[name] for name in sorted(archive.files)]
    return Classifier(
        builder=build_node(description["model"], "model"),
        model_input=build_node(description["input"], "input"),
        weights=weights,
        class_names=tuple(description["class_names"]),
        window=description["window"],
        lead_names=tuple(description["lead_names"]),
        fs_hz=description["fs_hz"],
        before_samples=description["before_samples"],
        database=description["database"],
        classes_without_training_beats=None if unlearned is None else tuple(unlearned),
    )
