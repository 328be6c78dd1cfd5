"""Log a classifier to MLflow as a model that works where this package is not installed."""

import hashlib
import tempfile
from pathlib import Path

import pandas as pd
from mlflow import pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array

from ecgexp.data.synthetic.example import FS_HZ, example_signals
from ecgexp.features.record_beats import needs_record
from ecgexp.models.damaged import FIX
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.models.saved_classifier import read_description
from ecgexp.models.saved_preprocessing import read_preprocessing
from ecgexp.settings import plugins
from ecgexp.tracking.kept_files import remove_partial_uploads
from ecgexp.tracking.mlflow.environment import exact_requirements, write_wheel
from ecgexp.tracking.mlflow.store import Store

NAME = "model"
_DIGEST_TAG = "classifier.digest"

_EXAMPLE_S = 4.0


def log_pyfunc(store: Store, run_id: str, folder: Path) -> None:
    """Log the classifier in `folder` as the model named `model` of a run.

    `runs:/<run_id>/model` is its address.

    MLflow's own `log_model` uses the current store and experiment of the process instead. A call
    that is repeated after a failure continues from the existing entries, so that the run has the
    model once.

    Args:
      store: where the run is.
      run_id: the MLflow run.
      folder: as `ecgexp.models.saved_classifier.save_classifier` wrote it.
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
        _upload(store, run_id, logged, folder)
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


def _upload(store: Store, run_id: str, logged: LoggedModel, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ecgexp-") as scratch:
        described = Model(
            artifact_path=logged.artifact_location,
            run_id=run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        )
        save_pyfunc(folder, Path(scratch) / NAME, description=described)
        store.client.log_model_artifacts(logged.model_id, str(Path(scratch) / NAME))
    store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def save_pyfunc(folder: Path, target: Path, *, description: Model | None = None) -> None:
    """Write the MLflow model of the classifier in `folder` to the new folder `target`.

    **Guarantees** It is loaded and served in an environment with its requirements alone: a wheel of
    this package and one of each plug-in that it uses are among them, as files of the model, and no
    file of a checkout is (`tests/end_to_end/test_predict.py`). The input example is synthetic, so
    that the model of a private run has no beat of a patient.
    """
    description_of_model = read_description(folder)
    class_names = description_of_model["class_names"]
    used = [plugins.installed()[name] for name in description_of_model.get("plugins", {})]
    preprocessing = read_preprocessing(folder, fix=FIX)
    with tempfile.TemporaryDirectory(prefix="ecgexp-") as scratch:
        wheel = write_wheel(Path(scratch))
        others = {plugin.name: write_wheel(Path(scratch), plugin) for plugin in used}
        pyfunc.save_model(
            path=str(target),
            mlflow_model=description or Model(),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={
                "classifier": str(folder),
                "wheel": str(wheel),
                **{f"plugin_{name}": str(file) for name, file in others.items()},
            },
            signature=signature(preprocessing, class_names),
            input_example=input_example(preprocessing),
            # Listed, because MLflow would otherwise load the model in a new process to find its
            # imports. The path is relative to the model's folder, where MLflow installs them.
            pip_requirements=[
                *(f"artifacts/{file.name}" for file in (wheel, *others.values())),
                *exact_requirements(used),
            ],
            metadata={"class_names": class_names},
        )


def signature(preprocessing: ModelPreprocessing, class_names: list[str]) -> ModelSignature:
    """Return the columns of signals and of windows, of which a request has either, and of beats."""
    numbers, names = Array(DataType.double), DataType.string
    if len(preprocessing.lead_names) > 1:
        numbers, names = Array(numbers), Array(DataType.string)
    windows = [
        "window_mv",
        *(["rr"] if preprocessing.features.uses_rr else []),
        *(["template_mv"] if preprocessing.features.uses_template else []),
        *(["record_values"] if needs_record(preprocessing.features) else []),
    ]
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(numbers, "signal_mv", required=False),
        ColSpec(DataType.double, "fs_hz", required=False),
        ColSpec(names, "lead", required=False),
        ColSpec(Array(DataType.long), "r_peaks", required=False),
        # Not declared as arrays, whose values MLflow would check one by one: 20 ms for each beat.
        *(ColSpec(AnyType(), name, required=False) for name in windows),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, "record", required=False),
        ColSpec(DataType.long, "sample", required=False),
        ColSpec(DataType.double, "seconds", required=False),
        ColSpec(DataType.string, "class"),
        ColSpec(DataType.string, "symbol", required=False),
        *(ColSpec(DataType.double, f"probability/{name}", required=False) for name in class_names),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def input_example(preprocessing: ModelPreprocessing) -> pd.DataFrame:
    """Return one row: some synthetic beats in the leads of the model, with their R peaks."""
    leads = [spellings[0] for spellings in preprocessing.records.lead_spellings]
    signals_mv, r_peaks = example_signals(leads, seconds=_EXAMPLE_S)
    signals = signals_mv.T.tolist()
    row = {
        "signal_mv": signals if len(leads) > 1 else signals[0],
        "fs_hz": float(FS_HZ),
        "lead": leads if len(leads) > 1 else leads[0],
        "r_peaks": r_peaks.tolist(),
    }
    return pd.DataFrame([row])
