"""A folder of small valid files that commands read: runs, a sweep, a cache and recordings."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from fuzzing.corpus import lay_out, make_cases

from ecgexp.config.compose import for_the_record, load_config
from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.data.beats import COLUMNS, BeatSet
from ecgexp.data.preprocessing import cache
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.features.inputs import SignalFeatures
from ecgexp.models import saved_classifier
from ecgexp.models.classifier import Classifier
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.storage.digests import FileDigests
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.invocation import write_study
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.local.hydra_files import write_notes
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.params import parameters
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints

TYPED = (
    "dataset=synthetic",
    "trainer=dp",
    "privacy=dp",
    "privacy.noise_multiplier=1.1",
    "seed=3",
    "tracking=none",
)
CLASSES = ("N", "S", "V")
KEY = "ab" * 32
_EVENT = stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(0.01, 1.1), 20))
_PRIVACY = {
    "guarantee": True,
    "simulation": False,
    "statement": "ε = 1",
    "epsilon": 1.0,
    "rows_per_unit": 1,
    "overlapping_rows": 1,
    "epsilon_overlap": None,
    "delta": 1e-5,
    "unit": "beat",
    "neighboring_relation": "add_or_remove_one",
    "accountant": "pld",
    "steps": 20,
    "noise_multiplier": 1.1,
    "event": _EVENT,
    "not_covered": ["validation and test data"],
}
_DATA = {
    "database": "synthetic 1",
    "digest": "cd" * 32,
    "classes": list(CLASSES),
    "beats": {"test": {"N": 8, "S": 2, "V": 2}},
    "dropped": {},
    "notes": [],
}


def plan():
    """Returns the privacy plan of the unfinished runs."""
    spec = PrivacySpec(noise_multiplier=1.1, delta=1e-5, l2_norm_clip=1.0, accountant="rdp")
    return spec.plan(num_units=1000, expected_batch_size=10, iterations=20)


def make_world(world: Path) -> None:
    """Makes the folder, which must not be moved: some of its files contain its path."""
    config = for_the_record(load_config(TYPED))
    for number in range(2):
        _run(world / "outputs" / f"run{number}", config, run_id=f"{number}" * 32)
    _unfinished(world / "outputs" / "stopped", config)
    _sweep(world / "outputs" / "sweep", config)
    private = world / "store.private"
    DigestKey.of(private)
    spent = PrivacySpent.planned(plan())
    for name in ("run0", "run1"):
        loss = Loss(
            run_dir=str(world / "outputs" / name),
            name=name,
            training_population=frozenset({"database synthetic"}),
            spent=spent,
        )
        Losses(private).begin(loss, resumes=False).finish(_EVENT)
    _cache(world / "cache", world / "recordings")
    (world / "comparison.json").write_text(
        json.dumps({"split": "test", "runs": {}, "only_seed_differs": False}), encoding="utf-8"
    )
    (world / "report.html").write_text(
        '<!DOCTYPE html><meta name="generator" content="ecgexp-report">', encoding="utf-8"
    )
    for case in make_cases():
        folder = world / "recordings" / case.name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(case.files, folder)


def _run(folder: Path, config: dict, *, run_id: str | None = None, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    tracker = JsonlTracker(
        folder, run_id=run_id, store_uri="sqlite:///nowhere/mlflow.db" if run_id else None
    )
    tracker.log_params(parameters(config))
    tracker.set_tags(
        {
            "mlflow.runName": folder.name,
            "dataset.name": "synthetic 1",
            "run.dir": str(folder),
            "command": "ecgexp",
        }
    )
    for step in range(1, 4):
        tracker.log_metrics(
            {"curve/train/loss": 1 / step, "curve/validation/macro_f1": 0.1 * step}, step=step
        )
    metrics = {
        "test/accuracy": 0.5,
        "test/macro_f1": 0.4,
        "privacy/epsilon": 1.0,
        "privacy/delta": 1e-5,
    }
    tracker.log_metrics(
        metrics | {f"test/{score}/{name}": 0.5 for name in CLASSES for score in ("f1", "support")}
    )
    tracker.log_dict(_PRIVACY, "privacy.json")
    tracker.log_dict(_DATA, "data.json")
    tracker.log_text("The privacy statement.", "privacy_statement.txt")
    true, said = rng.choice(CLASSES, 12), rng.choice(CLASSES, 12)
    table = {
        "record": "100",
        "patient": "100",
        "sample": np.arange(12),
        "symbol": "N",
        "class": true,
        "predicted": said,
    }
    table |= {f"probability/{name}": np.full(12, 1 / 3) for name in CLASSES}
    tracker.log_table(pd.DataFrame(table), "predictions/test.parquet")
    clients = {
        "client": ["100", "101"],
        "beats": [6, 6],
        "accuracy": 0.5,
        "macro_f1": [0.5, np.nan],
        "majority_accuracy": 0.5,
    }
    tracker.log_table(pd.DataFrame(clients), "tables/test_per_client.csv")
    result = Result(
        status="FINISHED",
        run_id=run_id,
        seconds=3.0,
        metrics=metrics,
        data=_DATA,
        privacy=_PRIVACY,
        selection={"step": 3, "metric": "validation/macro_f1", "score": 0.3, "kept": "best"},
        notes={"test": ["a note"]},
        classes_in_average={"test": list(CLASSES)},
    )
    tracker.log_file(result.write(folder))
    _model(folder / "model", rng)
    tracker.log_model(folder / "model")
    _notes(folder)
    tracker.finish("FINISHED")


def _model(folder: Path, rng: np.random.Generator) -> None:
    """Writes a model as a run does, but without TensorFlow."""
    weights = [rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)]
    classifier = Classifier(
        builder=Cnn1d(filters=(4,), kernel_sizes=(3,)),
        preprocessing=ModelPreprocessing(
            records=Preprocessing(fs_hz=100.0, window_ms=(100.0, 100.0)), features=SignalFeatures()
        ),
        weights=weights,
        class_names=CLASSES,
        database="synthetic 1",
    )
    folder.mkdir()
    saved_classifier._write(
        classifier, {"000/conv0/kernel": weights[0], "001/conv0/bias": weights[1]}, folder
    )


def _notes(folder: Path) -> None:
    write_notes(
        folder,
        {"overrides.yaml": "".join(f"- {text}\n" for text in TYPED), "config.yaml": "seed: 3\n"},
    )


def _unfinished(folder: Path, config: dict) -> None:
    folder.mkdir(parents=True)
    Journal.create(folder / "privacy_journal.jsonl")
    ledger = Ledger(plan(), journal=Journal(folder / "privacy_journal.jsonl", block=5))
    ledger.record(plan().step_event, 10)
    tracker = JsonlTracker(folder)
    tracker.log_params(parameters(config))
    tracker.set_tags({"process.host": "elsewhere"})
    for step in (1, 2):
        tracker.log_metrics({"curve/train/loss": 1 / step}, step=step)
        weights = np.full(4, step, np.float32)
        meta = {
            "trainer": {"epoch": step, "ledger": ledger.to_dict()},
            "points": [{"curve/train/loss": 1.0}] * step,
            "is_over": False,
            "model_selector": {"step": step, "score": 0.5, "best": 0.5, "steps_since": 0},
            "data_digest": KEY,
        }
        arrays = {"trainer/model/0": weights, "chosen/0": weights}
        Checkpoints(folder / "checkpoints").save(Checkpoint(step=step, arrays=arrays, meta=meta))
    private = PrivateFolder(folder)
    private.add_metrics({"train/clipped": 0.5}, 1)
    private.add_values({"tags": {"notes": "a note"}})
    _notes(folder)


def _sweep(folder: Path, config: dict) -> None:
    names = ["seed=1", "seed=2"]
    sweep = Sweep.open(folder / "monday", ("seed=1,2",), names, SweepSettings())
    sweep = sweep.with_parent(None, private_dir=folder.parent.parent / "store.private")
    write_study(sweep.invocation, "search", num_trials=1)
    for number, name in enumerate(names):
        run_dir = sweep.invocation / str(number)
        _run(run_dir, config, seed=number)
        digest = f"{number}" * 64
        sweep.note(number, name, digest, "ran")
        tried = Attempt(
            digest=digest,
            name=name,
            command="ecgexp",
            run_dir=str(run_dir),
            status="FINISHED",
            seconds=3.0,
            metrics={"test/accuracy": 0.5},
            data_digest=KEY,
            spent=PrivacySpent.planned(plan()),
        )
        sweep.attempts.write(
            replace(tried, status="FAILED", reason="it failed") if number else tried
        )
    (sweep.invocation / "multirun.yaml").write_text("hydra:\n  mode: MULTIRUN\n", encoding="utf-8")
    parent = JsonlTracker(sweep.parent_dir)
    parent.set_tags(
        {"command": "ecgexp -m seed=1,2", "sweep.overrides": "seed=1,2", "sweep.role": "parent"}
    )
    parent.log_metrics({"sweep/jobs": 2.0}, step=1)
    parent.log_text("All of it has ε = 2.", "sweep_privacy.txt")
    parent.log_dict({"jobs": [], "typed": asdict(SweepSettings())}, "sweep.json")
    parent.finish("FINISHED")


def _cache(folder: Path, source: Path) -> None:
    source.mkdir(parents=True, exist_ok=True)
    (source / "notes.txt").write_text("a source file", encoding="utf-8")
    FileDigests(folder, source).of([source / "notes.txt"])
    cache.load_or_preprocess(folder, KEY, cached_beats)


def cached_beats() -> cache.CachedBeats:
    """Returns five beats of two records."""
    records = np.array(["a", "a", "b", "b", "b"])
    columns = {
        "signals_mv": np.zeros((5, 20, 1), np.float32),
        "rr": np.ones((5, 20), np.float32),
        "symbols": np.array(list("NNVNS")),
        "record_ids": records,
        "patient_ids": records,
        "r_samples": np.arange(5) * 100,
    }
    columns = {name: columns[name] for name in COLUMNS}
    templates = {name: np.zeros((20, 1), np.float32) for name in ("a", "b")}
    places = {name: np.zeros((2, 3), np.int64) for name in templates}
    beats = BeatSet(
        **columns,
        templates_mv=templates,
        annotated=places,
        fs_hz=100.0,
        lead_names=("MLII",),
        database="synthetic 1",
        digest="cd" * 32,
        dropped={},
    )
    return cache.CachedBeats(beats=beats)
