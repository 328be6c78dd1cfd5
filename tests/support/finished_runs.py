"""Folders of finished runs, as the training loop writes them, without training."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecgexp.evaluation.confusion import count_confusion
from ecgexp.evaluation.evaluator import evaluate
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.local.tracker import JsonlTracker

CLASSES = ("N", "S", "V", "F", "Q")
SYNTHETIC = "synthetic (virtual patients, seed 0)"
COMMON = {
    "dataset._target_": "ecgexp.data.RecordedDataset",
    "dataset.root": "data",
    "split._target_": "ecgexp.data.InterPatient",
    "features._target_": "ecgexp.features.SignalFeatures",
    "model._target_": "ecgexp.models.Cnn1d",
    "tracking.uri": "sqlite:///mlruns/mlflow.db",
    "tracking.experiment_name": "ecgexp",
}
CENTRALIZED = {
    "trainer._target_": "ecgexp.training.Centralized",
    "trainer.learning_rate": 0.001,
    "privacy._target_": "ecgexp.privacy.NotPrivate",
}


def private(noise_multiplier: float) -> dict:
    """The parameters of a run of DP-SGD."""
    return {
        "trainer._target_": "ecgexp.training.DpSgd",
        "trainer.learning_rate": 0.25,
        "trainer.clipping": "ghost",
        "privacy._target_": "ecgexp.privacy.PrivacySpec",
        "privacy.noise_multiplier": noise_multiplier,
        "privacy.noise_seed": None,
        "privacy.unit": "beat",
    }


def guarantee(epsilon: float, *, unit: str = "beat", simulation: bool = False) -> dict:
    """What `privacy.json` holds."""
    return {
        "guarantee": not simulation,
        "simulation": simulation,
        "statement": f"ε = {epsilon:.2f} (δ 1e-05) · unit: {unit}",
        "epsilon": None if simulation else epsilon,
        "delta": 1e-5,
        "unit": unit,
        **({"epsilon_if_noise_were_secret": epsilon} if simulation else {}),
    }


def finished(
    folder: Path,
    *,
    params: dict,
    seed: int = 0,
    metrics: dict | None = None,
    undefined: dict | None = None,
    privacy: dict | None = None,
    database: str = SYNTHETIC,
    confusion: np.ndarray | None = None,
    clients: list | None = None,
    strips: pd.DataFrame | None = None,
    name: str | None = None,
    tags: dict | None = None,
    classes: tuple[str, ...] = CLASSES,
    seconds: float = 60.0,
    digest: str = "d1",
    train_beats: int = 7001,
    notes: dict | None = None,
    evaluation: dict | None = None,
    quality: dict | None = None,
) -> Path:
    """A run that finished with just these scores."""
    tracker = _begin(folder, {**params, "seed": seed}, name or folder.name, database, digest, tags)
    metrics = {"test/accuracy": 0.5, "test/macro_f1": 0.4} if metrics is None else metrics
    if privacy is not None:
        tracker.log_text(f"{privacy['statement']}\n", "privacy_statement.txt")
        tracker.log_dict(privacy, "privacy.json")
        if privacy["guarantee"]:
            privacy_metrics = {
                "privacy/epsilon": privacy["epsilon"],
                "privacy/delta": privacy["delta"],
            }
            metrics = metrics | {
                key: value for key, value in privacy_metrics.items() if value is not None
            }
    tracker.log_metrics({"curve/train/loss": 43.21, "curve/train/accuracy": 97.531}, step=1)
    tracker.log_metrics(metrics)
    if confusion is not None:
        _predictions(tracker, confusion, classes)
    if clients is not None:
        tracker.log_table(pd.DataFrame(clients), "tables/test_per_client.csv")
    if strips is not None:
        tracker.log_table(strips, "tables/test_strips.parquet")
    counts = {"train": dict.fromkeys(classes, train_beats), "test": dict.fromkeys(classes, 301)}
    data = {"database": database, "digest": digest, "classes": list(classes), "beats": counts}
    Result(
        status="FINISHED",
        seconds=seconds,
        metrics=metrics,
        undefined=undefined or {},
        data=data,
        privacy=privacy,
        selection={"step": 2},
        notes=notes or {},
        test_evaluation=evaluation,
        quality=quality or {},
    ).write(folder)
    tracker.finish("FINISHED")
    return folder


def failed(
    folder: Path, *, reason: str, params: dict | None = None, name: str = "a failed run"
) -> Path:
    """A run that ended with an error."""
    tracker = _begin(folder, params or {}, name, SYNTHETIC, "d1", None)
    Result(status="FAILED", reason=reason).write(folder)
    tracker.finish("FAILED", reason)
    return folder


def evaluated(
    folder: Path, rng: np.random.Generator, *, skill: float, patients: int = 22, **more
) -> Path:
    """A run with the scores of drawn predictions, all that an evaluation has.

    `skill` is the chance of a right answer.
    """
    drawn = np.random.default_rng(1)  # the same beats in all runs
    labels = drawn.choice(5, 4000, p=[0.87, 0.05, 0.06, 0.015, 0.005])
    owner = drawn.integers(0, patients, 4000)
    right = rng.random(4000) < skill
    predicted = np.where(right, labels, rng.choice(5, 4000, p=[0.8, 0.1, 0.1, 0, 0]))
    probabilities = np.full((4000, 5), 0.05)
    probabilities[np.arange(4000), predicted] = 0.8
    confusion = count_confusion(labels, predicted, num_classes=5, groups=owner, num_groups=patients)
    owner = owner.astype(str)
    evaluation = evaluate(
        labels=labels,
        probabilities=probabilities,
        class_names=CLASSES,
        record_ids=owner,
        patient_ids=owner,
        majority_class=0,
        rng=rng,
        num_resamples=100,
    )
    undefined = {f"test/{key}": reason for key, reason in evaluation.undefined.items()}
    return finished(
        folder,
        metrics=evaluation.metrics("test"),
        undefined=undefined,
        confusion=confusion,
        **more,
    )


def strip(record: str, sample: int, *, lead: str = "MLII") -> pd.DataFrame:
    """The table of one strip."""
    seconds = np.linspace(-5, 5, 101)
    columns = {"strip": 0, "record": record, "sample": sample, "record_hz": 1.0, "lead": lead}
    return pd.DataFrame(columns | {"second": seconds, "mv": np.sin(seconds)})


def _begin(
    folder: Path, params: dict, name: str, database: str, digest: str, tags: dict | None
) -> JsonlTracker:
    tracker = JsonlTracker(folder)
    tracker.log_params({**COMMON, **params})
    tracker.set_tags(
        {
            "mlflow.runName": name,
            "dataset.name": database,
            "dataset.digest": digest,
            "command": f"ecgexp seed={params.get('seed', 0)}",
            **(tags or {}),
        }
    )
    return tracker


def _predictions(tracker: JsonlTracker, confusion: np.ndarray, classes: tuple[str, ...]) -> None:
    """Stores them, one patient if `confusion` is one matrix, else those of its matrices."""
    by_patient = confusion if confusion.ndim == 3 else confusion[None]
    owner, true, predicted = (
        np.repeat(index.ravel(), by_patient.ravel()) for index in np.indices(by_patient.shape)
    )
    names = np.array(classes)
    places = np.arange(len(true))
    table = {
        "record": (100 + owner).astype(str),
        "patient": (100 + owner).astype(str),
        "sample": places,
        "class": names[true],
        "predicted": names[predicted],
    }
    table |= {f"probability/{name}": np.zeros(len(true)) for name in classes}
    tracker.log_table(pd.DataFrame(table), "predictions/test.parquet")


def pointer(**values):
    """What `sweep.json` of an invocation holds."""
    defaults = {
        "home": "nowhere",
        "typed": [],
        "planned": None,
        "parent_id": None,
        "settings": {},
        "private_dir": None,
    }
    return defaults | values
