"""Save a trained classifier as a folder of data, and load it: no pickle and no code.

The folder holds `model.json` (the settings of the architecture, and the classes),
`preprocessing.json` (what turns a record into its inputs) and `weights.safetensors`. The
architecture is rebuilt from our own settings classes, so no file can name anything else.
"""

import hashlib
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from typing_extensions import TypedDict

from ecgexp.models.base import ModelBuilder
from ecgexp.models.classifier import Classifier
from ecgexp.models.damaged import FIX
from ecgexp.models.saved_preprocessing import FILE as _PREPROCESSING
from ecgexp.models.saved_preprocessing import preprocessing_json, read_preprocessing
from ecgexp.privacy import publication
from ecgexp.settings import plugins
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.plugins import code_of
from ecgexp.storage.archive import read_archive, write_archive
from ecgexp.storage.atomic import replacing_folder
from ecgexp.storage.digests import digest
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import MissingFileError, read_bytes, read_json, refusal

_DESCRIPTION, _WEIGHTS, _EARLIER = "model.json", "weights.safetensors", "weights.npz"
_FILES = (_DESCRIPTION, _PREPROCESSING, _WEIGHTS)
_FORMAT = 9
_MOST_BYTES = 1 << 32  # of weights
_log = logging.getLogger(__name__)
_FIX_EARLIER = "train the model again with this version, or use the version that saved it"


class Description(TypedDict):
    """Content of `model.json`.

    `sha256` is of all other entries; the other files are included by their digests. `plugins`
    gives version and digest of those whose classes the model uses; missing if there are none.
    """

    format: int
    model: dict[str, Any]
    class_names: list[str]
    database: str
    classes_without_training_beats: list[str] | None
    preprocessing_sha256: str
    weights_sha256: str
    sha256: str
    plugins: NotRequired[dict[str, str]]


class _Format(TypedDict):
    format: NotRequired[int]


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
    preprocessing = json.dumps(preprocessing_json(classifier.preprocessing), indent=2).encode()
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
    used = code_of([description["model"], to_node(classifier.preprocessing.features)])
    if used:
        description["plugins"] = dict(used)
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
    found = read_json(path, _Format, fix=FIX).get("format")
    if found != _FORMAT:
        raise refusal(
            path,
            f"has format {quoted(found)}, and this version reads format {_FORMAT}",
            fix=_FIX_EARLIER,
        )
    description = read_json(path, Description, fix=FIX)
    if description["sha256"] != _digest(description):
        raise refusal(
            path, "is damaged: its SHA-256 is not the one that it names of itself", fix=FIX
        )
    return description


def load_classifier(folder: Path | str) -> Classifier:
    """Reads what `save_classifier` wrote.

    **Guarantees** All files are as they were written: a digest in `model.json` covers the rest of
    it and the digests of the others. No weight is NaN or infinite
    (`tests/tensorflow/models/test_classifier.py`).

    Raises:
      ConfigError: its architecture or input has a setting that this version does not know, or it
        needs a plug-in that is not installed. A plug-in with other code is a warning.
      DataError: a file is missing, damaged, or of another format.
    """
    folder = Path(folder)
    description = read_description(folder)
    _check_plugins(folder, description.get("plugins", {}))
    path = folder / _WEIGHTS
    try:
        content = read_bytes(path, fix=FIX, most=_MOST_BYTES)
    except MissingFileError:
        if (folder / _EARLIER).exists():
            raise refusal(
                folder, f"has {_EARLIER}, of an earlier version of ecgexp", fix=_FIX_EARLIER
            ) from None
        raise
    _check_digest(path, content, description["weights_sha256"])
    stored = folder / _PREPROCESSING
    _check_digest(stored, read_bytes(stored, fix=FIX), description["preprocessing_sha256"])
    preprocessing = read_preprocessing(folder, fix=FIX)
    try:
        weights, _ = read_archive(io.BytesIO(content))
    except DataError as error:
        raise refusal(path, str(error), fix=FIX) from error
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


def _check_plugins(folder: Path, stored: Mapping[str, str]) -> None:
    for name, code in stored.items():
        plugin = plugins.installed().get(name)
        if plugin is None:
            raise ConfigError(
                f"{folder}: the model needs the plug-in {name}, which is not installed; use "
                f"{plugins.install_command(code)}."
            )
        if plugin.code != code:
            _log.warning(
                "%s: the model was trained with other code of the plug-in %s (%s), and %s is "
                "installed; its predictions may differ",
                folder,
                name,
                code,
                plugin.code,
            )


def _check_digest(path: Path, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise refusal(path, f"is damaged: its SHA-256 is not the one in {_DESCRIPTION}", fix=FIX)


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
