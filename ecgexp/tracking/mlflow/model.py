"""Log a classifier to MLflow as a model with a signature, an input example and its requirements."""

import hashlib
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
from mlflow import pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from ecgexp.models.classifier import read_description
from ecgexp.tracking.base import ModelInput
from ecgexp.tracking.kept_files import remove_partial_uploads
from ecgexp.tracking.mlflow.store import Store

NAME = "model"
_DIGEST_TAG = "classifier.digest"

# Listed, because MLflow would otherwise load the model in a new process to find its imports: 15 s
# instead of 1 s.
_REQUIREMENTS = ("mlflow", "numpy", "pydantic", "safetensors", "scipy", "tensorflow")


def log_pyfunc(store: Store, run_id: str, folder: Path, *, input_example: ModelInput) -> None:
    """Log the classifier in `folder` as the model named `model` of a run.

    `runs:/<run_id>/model` is its address.

    MLflow's own `log_model` uses the current store and experiment of the process instead. A call
    that is repeated after a failure continues from the existing entries, so that the run has the
    model once.

    Args:
      store: where the run is.
      run_id: the MLflow run.
      folder: as `ecgexp.models.classifier.save_classifier` wrote it.
      input_example: (n, window, leads) float32 millivolts, or a mapping with `signals_mv` and those
        of `rr` and `templates_mv` that the model takes.
    """
    logged = _logged_before(store, run_id, folder) or store.client.create_logged_model(
        store.experiment_id,
        name=NAME,
        source_run_id=run_id,
        model_type="classifier",
        tags={_DIGEST_TAG: _folder_digest(folder)},
    )
    if logged.status != LoggedModelStatus.READY:
        remove_partial_uploads(logged.artifact_location)
        _upload(store, run_id, logged, folder, input_example)
    if logged.model_id not in _outputs(store, run_id):
        store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])


def is_logged(store: Store, run_id: str, folder: Path) -> bool:
    """Return whether the run has the classifier in `folder` as its model."""
    logged = _logged_before(store, run_id, folder)
    return logged is not None and logged.model_id in _outputs(store, run_id)


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _logged_before(store: Store, run_id: str, folder: Path) -> LoggedModel | None:
    digest = _folder_digest(folder)
    models = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'")
    return next((model for model in models if model.tags.get(_DIGEST_TAG) == digest), None)


def _outputs(store: Store, run_id: str) -> set[str]:
    outputs = store.client.get_run(run_id).outputs
    return {output.model_id for output in outputs.model_outputs} if outputs is not None else set()


def _upload(
    store: Store, run_id: str, logged: LoggedModel, folder: Path, input_example: ModelInput
) -> None:
    with tempfile.TemporaryDirectory(prefix="ecgexp-") as scratch:
        described = Model(
            artifact_path=logged.artifact_location,
            run_id=run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        )
        save_pyfunc(
            folder, Path(scratch) / NAME, input_example=input_example, description=described
        )
        store.client.log_model_artifacts(logged.model_id, str(Path(scratch) / NAME))
    store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def save_pyfunc(
    folder: Path, target: Path, *, input_example: ModelInput, description: Model | None = None
) -> None:
    """Write the MLflow model of the classifier in `folder` to the new folder `target`."""
    class_names = read_description(folder)["class_names"]
    pyfunc.save_model(
        path=str(target),
        mlflow_model=description or Model(),
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"classifier": str(folder)},
        signature=signature(input_example, num_classes=len(class_names)),
        input_example=dict(input_example) if isinstance(input_example, Mapping) else input_example,
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
        metadata={"class_names": class_names},
    )


def signature(input_example: ModelInput, *, num_classes: int) -> ModelSignature:
    """Return the signature of the features and the probabilities, for any number of windows."""
    if isinstance(input_example, Mapping):
        inputs = Schema([_spec(array, name) for name, array in input_example.items()])
    else:
        inputs = Schema([_spec(input_example)])
    return ModelSignature(
        inputs=inputs, outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, num_classes))])
    )


def _spec(array: np.ndarray, name: str | None = None) -> TensorSpec:
    return TensorSpec(array.dtype, (-1, *array.shape[1:]), name)
