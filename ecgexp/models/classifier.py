"""Save a trained classifier as a folder of data, and load it: no pickle and no code.

The folder holds `model.json` (the settings of the architecture, and the classes),
`preprocessing.json` (what turns a record into its inputs) and `weights.safetensors`. The
architecture is rebuilt from our own settings classes, so no file can name anything else.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from typing_extensions import TypedDict

from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.inputs import Features, feature_shapes
from ecgexp.models.base import ModelBuilder
from ecgexp.models.preprocessing import FILE as _PREPROCESSING
from ecgexp.models.preprocessing import ModelPreprocessing, read_preprocessing
from ecgexp.privacy import publication
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.archive import read_archive, write_archive
from ecgexp.storage.atomic import replacing_folder
from ecgexp.storage.digests import digest
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import MissingFileError, read_bytes, read_json, refusal

_DESCRIPTION, _WEIGHTS, _EARLIER = "model.json", "weights.safetensors", "weights.npz"
_FILES = (_DESCRIPTION, _PREPROCESSING, _WEIGHTS)
_FORMAT = 9
_MOST_BYTES = 1 << 32  # of weights
_FIX = "copy the folder again from where it was whole, or train the model again"
_FIX_EARLIER = "train the model again with this version, or use the version that saved it"


class Description(TypedDict):
    """Content of `model.json`.

    `sha256` is of all other entries; the other files are included by their digests.
    """

    format: int
    model: dict[str, Any]
    class_names: list[str]
    database: str
    classes_without_training_beats: list[str] | None
    preprocessing_sha256: str
    weights_sha256: str
    sha256: str


class _Format(TypedDict):
    format: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained model together with what turns a record into its inputs.

    Attributes:
      builder: the architecture.
      preprocessing: records -> windows in millivolts -> the model's inputs.
      weights: in Keras' order.
      class_names: in the order of the columns of the probabilities.
      database: what it was trained on; says so when that was synthetic.
      classes_without_training_beats: what it cannot have learned; None where that is withheld, as
        under a privacy guarantee.
    """

    builder: ModelBuilder
    preprocessing: ModelPreprocessing
    weights: list[np.ndarray]
    class_names: tuple[str, ...]
    database: str
    classes_without_training_beats: tuple[str, ...] | None = None

    @property
    def features(self) -> Features:
        """What turns windows in millivolts into the model's inputs."""
        return self.preprocessing.features

    @property
    def window(self) -> int:
        """Samples in a window."""
        return sum(self.preprocessing.records.window_samples)

    @property
    def fs_hz(self) -> float:
        """Sampling frequency of a window."""
        return self.preprocessing.records.fs_hz

    @property
    def leads(self) -> int:
        """Leads in a window."""
        return len(self.preprocessing.lead_names)

    @property
    def uses_rr(self) -> bool:
        """Whether `predict_probabilities` needs the RR features."""
        return self.features.uses_rr

    @property
    def uses_template(self) -> bool:
        """Whether it needs the template of the record."""
        return self.features.uses_template

    def predict_probabilities(
        self,
        signals_mv: np.ndarray,
        rr: np.ndarray | None = None,
        templates_mv: np.ndarray | None = None,
        *,
        batch_size: int = 1024,
    ) -> np.ndarray:
        """Class probabilities of raw windows.

        Args:
          signals_mv: (num_beats, window, leads) millivolts, baseline removed.
          rr: (num_beats, 20), the columns of `ecgexp.data.beats.RR_FEATURES`; only where `uses_rr`.
          templates_mv: (num_beats, window, leads) millivolts, the template of each one's record
            (`ecgexp.data.preprocessing.windows.template`); only where `uses_template`.
          batch_size: windows per call.

        Returns:
          (num_beats, num_classes) float64, rows summing to 1.

        Raises:
          ValueError: windows of another shape than the model was trained on.
        """
        import tensorflow as tf

        from ecgexp.models.resident import as_model_input

        signals_mv = np.asarray(signals_mv, np.float32)
        if signals_mv.shape[1:] != (self.window, self.leads):
            raise ValueError(
                f"windows must be (n, {self.window}, {self.leads}) at {self.fs_hz:g} Hz; "
                f"these are {signals_mv.shape}"
            )
        parts = []
        for at in range(0, len(signals_mv), batch_size):
            rows = slice(at, at + batch_size)
            features = self.features.transform(
                signals_mv[rows], _rows(rr, rows), _rows(templates_mv, rows)
            )
            logits = self._model(
                {name: as_model_input(tf.constant(array)) for name, array in features.items()},
                training=False,
            )
            parts.append(tf.nn.softmax(tf.cast(logits, tf.float64)).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)))

    @cached_property
    def _model(self) -> Any:
        window = np.zeros((1, self.window, self.leads), np.float32)
        features = self.features.transform(
            window, np.ones((1, len(RR_FEATURES)), np.float32), window
        )
        model = self.builder.build(feature_shapes(features), len(self.class_names))
        expected, found = (
            [tuple(weight.shape) for weight in model.weights],
            [weight.shape for weight in self.weights],
        )
        if expected != found:
            raise DataError(
                f"the weights of the model have the shapes {quoted(found)}, and its "
                f"architecture has {quoted(expected)}; {_FIX}"
            )
        model.set_weights(self.weights)
        return model

    @property
    def weight_names(self) -> list[str]:
        """Layer and name of each of the weights, e.g. `conv0/kernel`; builds the model."""
        return [weight.name.removesuffix(":0") for weight in self._model.weights]


def _rows(array: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if array is None else np.asarray(array, np.float32)[rows]


def save_classifier(classifier: Classifier, folder: Path) -> Path:
    """Writes `classifier` as `folder`, whole or not at all; a model that is there is replaced.

    **Guarantees** `model.json` holds only what `privacy.outputs.TABLE` lists: the folder is handed
    on whatever the run withholds. A run with a privacy guarantee leaves null what the table
    withholds. A model whose weights are NaN or infinite is not saved
    (`tests/tensorflow/models/test_classifier.py`).

    Raises:
      ConfigError: the folder holds something else.
      DataError: a weight is NaN or infinite; names its layer.
      ValueError: the description has a key that the table lacks.
    """
    others = sorted(path.name for path in folder.glob("*") if path.name not in (*_FILES, _EARLIER))
    if others:
        raise ConfigError(
            f"{folder} holds other files than a model ({others[0]}); use a new or an empty folder"
        )
    weights = dict(zip(_numbered(classifier.weight_names), classifier.weights, strict=True))
    if bad := _not_finite(weights):
        raise DataError(
            f"{folder}: the model cannot be saved, because {bad}; train it again, with a "
            "smaller trainer.learning_rate="
        )
    with replacing_folder(folder) as part:
        _write(classifier, weights, part)
    return folder


def _write(classifier: Classifier, weights: Mapping[str, np.ndarray], folder: Path) -> None:
    content = io.BytesIO()
    write_archive(content, weights, {})
    (folder / _WEIGHTS).write_bytes(content.getvalue())
    preprocessing = json.dumps(classifier.preprocessing.as_json(), indent=2).encode()
    (folder / _PREPROCESSING).write_bytes(preprocessing)
    unlearned = classifier.classes_without_training_beats
    description = {
        "format": _FORMAT,
        "model": to_node(classifier.builder),
        "class_names": list(classifier.class_names),
        "database": classifier.database,
        "classes_without_training_beats": None if unlearned is None else list(unlearned),
        "preprocessing_sha256": hashlib.sha256(preprocessing).hexdigest(),
        "weights_sha256": hashlib.sha256(content.getvalue()).hexdigest(),
    }
    description["sha256"] = _digest(description)
    if unlisted := [
        name for name in description if publication.find("model content", name) is None
    ]:
        raise ValueError(
            f"{_DESCRIPTION} would hold {', '.join(unlisted)}, which privacy.outputs.TABLE lacks"
        )
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2), encoding="utf-8")


def read_description(folder: Path) -> Description:
    """`model.json` of a saved model, compared with the digest that it names of itself.

    Raises:
      DataError: it is missing, damaged, or of another format.
    """
    path = folder / _DESCRIPTION
    found = read_json(path, _Format, fix=_FIX).get("format")
    if found != _FORMAT:
        raise refusal(
            path,
            f"has format {quoted(found)}, and this version reads format {_FORMAT}",
            fix=_FIX_EARLIER,
        )
    description = read_json(path, Description, fix=_FIX)
    if description["sha256"] != _digest(description):
        raise refusal(
            path, "is damaged: its SHA-256 is not the one that it names of itself", fix=_FIX
        )
    return description


def load_classifier(folder: Path | str) -> Classifier:
    """Reads what `save_classifier` wrote.

    **Guarantees** All files are as they were written: a digest in `model.json` covers the rest of
    it and the digests of the others. No weight is NaN or infinite
    (`tests/tensorflow/models/test_classifier.py`).

    Raises:
      ConfigError: its architecture or input has a setting that this version does not know.
      DataError: a file is missing, damaged, or of another format.
    """
    folder = Path(folder)
    description = read_description(folder)
    path = folder / _WEIGHTS
    try:
        content = read_bytes(path, fix=_FIX, most=_MOST_BYTES)
    except MissingFileError:
        if (folder / _EARLIER).exists():
            raise refusal(
                folder, f"has {_EARLIER}, of an earlier version of ecgexp", fix=_FIX_EARLIER
            ) from None
        raise
    _check_digest(path, content, description["weights_sha256"])
    stored = folder / _PREPROCESSING
    _check_digest(stored, read_bytes(stored, fix=_FIX), description["preprocessing_sha256"])
    preprocessing = read_preprocessing(folder, fix=_FIX)
    try:
        weights, _ = read_archive(io.BytesIO(content))
    except DataError as error:
        raise refusal(path, str(error), fix=_FIX) from error
    if bad := _not_finite(weights):
        raise refusal(path, f"cannot be used, because {bad}", fix="train the model again")
    unlearned = description["classes_without_training_beats"]
    return Classifier(
        builder=build_node(description["model"], "model", ModelBuilder),
        preprocessing=preprocessing,
        weights=[weights[name] for name in sorted(weights)],
        class_names=tuple(description["class_names"]),
        database=description["database"],
        classes_without_training_beats=None if unlearned is None else tuple(unlearned),
    )


def _check_digest(path: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise refusal(path, f"is damaged: its SHA-256 is not the one in {_DESCRIPTION}", fix=_FIX)


def _digest(description: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in description.items() if name != "sha256"})


def _numbered(names: Sequence[str]) -> list[str]:
    """Return unique names in the order of the weights when sorted: `003/conv0/kernel`."""
    digits = max(3, math.ceil(math.log10(len(names) + 1)))
    return [f"{number:0{digits}d}/{name}" for number, name in enumerate(names)]


def _not_finite(weights: Mapping[str, np.ndarray]) -> str:
    """Which layer has weights that are NaN or infinite, in words; empty where none has."""
    for name, array in sorted(weights.items()):
        bad = int(np.sum(~np.isfinite(array)))
        if bad:
            return f"{bad} of the {array.size} weights {name.partition('/')[2]} are NaN or infinite"
    return ""
