"""Two training sets that differ in one unit, and weights that do not: whatever else is published
must not differ by a byte.

The trainer is replaced by one that records in the ledger and yields constant weights, while what it
measures depends on every training beat. So each published byte that differs tells of training beats
beside the weights.
"""

import dataclasses
import json
import re
from io import StringIO

import numpy as np
import pytest
from placeholder_figures import drawn_figures
from smallest_run import SMALLEST

import ecgexp.console
import ecgexp.experiment.experiment
import ecgexp.experiment.run
from ecgexp.config.compose import for_the_record, load_config, load_experiment
from ecgexp.console import Console, Stream
from ecgexp.data import Split
from ecgexp.data.quality.marks import MARKS, NOISE
from ecgexp.experiment.data import assemble
from ecgexp.tracking.evaluation_log import EvaluationLog
from ecgexp.tracking.settings import NoTracking
from ecgexp.training.base import EpochResult, TrainerState
from ecgexp.training.dp.trainer import DpSgd
from ecgexp.training.federated.trainer import Federated

pytestmark = pytest.mark.slow

SMALL = [
    *SMALLEST,
    "tracking=none",
    "evaluate_on=[test]",
]
KINDS = {
    "beat": [
        "trainer=dp",
        "privacy.noise_multiplier=1",
        "trainer.expected_batch_size=32",
        "trainer.epochs=2",
    ],
    "clients": [
        "trainer=federated",
        "privacy=patient",
        "privacy.noise_multiplier=4",
        "trainer.num_rounds=2",
        "trainer.clients_per_round=3",
        "trainer.sampling=poisson",
    ],
}
# What differs from run to run whatever the data: when it ran, how long, where, and in which
# process.
_PASSING = (
    (r'"run": "[0-9a-f]{32}"', '"run": 0'),
    (r'"time": [0-9.]+', '"time": 0'),
    (r'"(seconds|ended|started|process\.pid|process\.started)": ' r'"?[0-9.]+"?', '"\\1": 0'),
    (r'"resources/\w+": [0-9.]+', '"resources": 0'),
    (r"\d+ s · ", "0 s · "),
)


def constant_training(self, data, *, build_model, ledger, on_progress, **_):
    """In place of `Trainer.train`.

    As many steps and as much noise as planned, weights that no beat has touched.
    """
    weights = [np.full(array.shape, 0.01, np.float32) for array in build_model().get_weights()]
    for step in range(1, self.num_steps + 1):
        for _each in range(ledger.plan.steps_per_epoch if self.step_name == "epoch" else 1):
            ledger.record(ledger.plan.step_event)
        seen = float(np.sum(data.labels[data.train] + 2)) + float(
            data.features["signal"][data.train].sum()
        )
        measured = {
            "loss": seen,
            "accuracy": seen,
            "batch_size": seen,
            "clients/used": seen,
            "noise_std": seen,
        }
        on_progress(done=1, total=1, metrics=measured)
        yield EpochResult(
            step=step,
            weights=lambda: weights,
            train_metrics=measured,
            dp_event=ledger.plan.step_event,
            checkpoint=lambda: TrainerState(arrays={}, meta={"ledger": ledger.to_dict()}),
        )


def neighbor_of(load_run_data, unit):
    """`load_run_data` for data in which one unit of the training set is another one.

    Other labels, other signal, fewer beats.
    """

    def changed(*, partition, seeds, **rest):
        run_data = load_run_data(partition=partition, seeds=seeds, **rest)
        beats, split = run_data.beats, run_data.split
        first = (
            split.train[:1]
            if unit == "beat"
            else split.train[beats.patient_ids[split.train] == beats.patient_ids[split.train[0]]]
        )
        labels, signals = beats.labels.copy(), np.array(beats.signals_mv)
        labels[first] = 1 - labels[first]
        signals[first] *= -3
        # Marks of their records, too, since they depend on the signal of a segment.
        of_records = np.isin(beats.record_ids, beats.record_ids[first])
        quality = np.where(of_records, MARKS.index(NOISE), beats.quality)
        beats = dataclasses.replace(
            beats,
            labels=labels,
            signals_mv=signals,
            quality=quality,
            dropped={**beats.dropped, "symbol Q": 17},
        )
        train = split.train if unit == "beat" else np.setdiff1d(split.train, first[1:])
        split = Split(
            **{item.name: getattr(split, item.name) for item in dataclasses.fields(split)}
            | {
                "train": train,
                "notes": (*split.notes, "a note about the training beats"),
            }
        )
        features = dict(run_data.data.features) | {"signal": signals}
        neighbor = assemble(
            beats, split, partition, seeds, features=lambda: features, overlap=run_data.data.overlap
        )
        return dataclasses.replace(neighbor, quality=run_data.quality)

    return changed


def published(folder):
    """Name -> bytes of what a run publishes, without what passes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith(("private/", ".lock")):
            content = path.read_bytes()
            if path.suffix in (".json", ".jsonl", ".txt", ".log"):
                text = content.decode().replace(str(folder), "FOLDER")
                for pattern, instead in _PASSING:
                    text = re.sub(pattern, instead, text)
                content = text.encode()
            found[name] = content
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_neighbors_publish_the_same_bytes_beside_weights(kind, tmp_path, monkeypatch):
    typed = [*SMALL, f"data.cache_dir={tmp_path}/cache", *KINDS[kind]]
    monkeypatch.setattr(
        ecgexp.console, "_SECONDS_BETWEEN_LINES", float("inf")
    )  # how busy the machine is tells nothing
    for trainer in (DpSgd, Federated):
        monkeypatch.setattr(trainer, "train", constant_training)
    found, said = [], []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        # Each of the two is the first to be evaluated on its test beats.
        EvaluationLog(NoTracking().private_dir()).file.unlink(missing_ok=True)
        console = Console(*[Stream(file=StringIO())] * 2)
        if name == "other":
            monkeypatch.setattr(
                ecgexp.experiment.experiment,
                "load_run_data",
                neighbor_of(ecgexp.experiment.experiment.load_run_data, kind),
            )
        config = for_the_record(load_config(typed))
        with drawn_figures():  # their bytes are published, too
            ecgexp.experiment.run.run(
                load_experiment(typed), folder, config=config, resolved_yaml="a: 1", console=console
            )
        found.append(published(folder))
        text = console.messages.file.getvalue().replace(str(folder), "FOLDER")
        said.append(re.sub(r"finished in \d+\ss", "finished in 0 s", text))
    one, other = found
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert said[0] == said[1]
    kept = [
        json.loads((tmp_path / name / "private" / "values.json").read_text())
        for name in ("one", "other")
    ]
    assert kept[0]["data"] != kept[1]["data"]  # they are neighbors indeed
    assert kept[1]["data"]["dropped"]["symbol Q"] == 17
    assert kept[1]["data"]["quality"]["marked"]["train"][NOISE]
