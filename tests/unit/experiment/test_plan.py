"""The plan of a run, and what of the training set it may depend on. No model is built here."""

import dataclasses

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.memory import estimate_memory
from ecgexp.experiment.plan import plan_of
from ecgexp.experiment.plan_text import rows
from ecgexp.experiment.setup import planned_ledger
from ecgexp.privacy.statement import state
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError
from ecgexp.training import Centralized, DpSgd

SMALL = ["dataset.num_patients=12", "dataset.minutes=0.8", "dataset.window_ms=[100,100]"]
BEAT = [
    "trainer=dp",
    "trainer.expected_batch_size=60",
    "trainer.epochs=2",
    "privacy.noise_multiplier=1",
]
PATIENT = [
    "trainer=dp",
    "privacy=patient",
    "trainer.expected_batch_size=3",
    "trainer.epochs=2",
    "privacy.noise_multiplier=1",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """(*overrides) -> an experiment and its data; the data are read once."""
    cache, known = f"data.cache_dir={tmp_path_factory.mktemp('cache')}", {}

    def load(*overrides):
        experiment = load_experiment([*SMALL, cache, *overrides])
        if overrides not in known:
            known[overrides] = experiment.load_run_data(Seeds(0), lambda *_: None)
        return experiment, known[overrides]

    return load


def plan_for(experiment, run_data):
    return plan_of(
        experiment,
        run_data,
        planned_ledger(experiment, run_data),
        num_parameters=1000,
        activations=500,
    )


def without_rows(run_data, gone):
    train = np.setdiff1d(run_data.split.train, gone)
    return dataclasses.replace(
        run_data,
        split=dataclasses.replace(run_data.split, train=train),
        data=dataclasses.replace(run_data.data, train=train),
    )


@pytest.mark.parametrize(
    ("overrides", "unit"), [(BEAT, "beat"), (PATIENT, "patient")], ids=["beat", "patient"]
)
def test_plan_of_neighboring_training_sets_differs_in_no_secret(loaded, overrides, unit):
    """Two training sets that lack one unit each, of different classes and numbers of beats."""
    experiment, run_data = loaded(*overrides)
    train, beats = run_data.split.train, run_data.beats
    if unit == "patient":
        ids, counts = np.unique(beats.patient_ids[train], return_counts=True)
        assert counts.min() < counts.max()
        gone = [
            train[beats.patient_ids[train] == ids[place]]
            for place in (counts.argmin(), counts.argmax())
        ]
    else:
        classes = beats.labels[train]
        gone = [train[classes == label][:1] for label in np.unique(classes)[:2]]
    plans = [plan_for(experiment, without_rows(run_data, rows)) for rows in gone]
    assert plans[0].as_dict() == plans[1].as_dict()
    assert rows(plans[0]) == rows(plans[1])
    assert "train" not in plans[0].as_dict()["splits"]


def test_plan_without_a_guarantee_has_the_training_classes(loaded):
    experiment, run_data = loaded()
    plan = plan_for(experiment, run_data)
    assert plan.splits["train"].classes == run_data.counts["train"]
    assert plan.as_dict()["privacy"] is None
    printed = dict(rows(plan))
    assert printed["privacy"] == "no guarantee, no ε (privacy=none)"
    assert "N\N{NO-BREAK SPACE}" not in printed["training"]
    assert f"{plan.splits['train'].patients} patients" in printed["training"]


@pytest.mark.parametrize(
    "extra", [[], ["privacy.max_epsilon=5"], ["privacy.sampling=shuffle"]], ids=str
)
def test_planned_epsilon_is_that_of_the_finished_run(loaded, extra):
    """To the last digit, with every step recorded as a training records it."""
    experiment, run_data = loaded(*BEAT, *extra)
    plan = plan_for(experiment, run_data)
    ledger = planned_ledger(experiment, run_data)
    for step in range(ledger.plan.iterations):
        event = ledger.plan.event_at(step)
        if ledger.would_exceed(event):
            break
        ledger.record(event)
    finished = state(ledger)
    assert plan.statement.epsilon == finished.epsilon
    assert (plan.statement.steps, plan.statement.bound_by) == (finished.steps, finished.bound_by)
    assert plan.as_dict()["privacy"]["epsilon"] == finished.as_dict()["epsilon"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["privacy.max_epsilon=0.01"], "privacy.max_epsilon=0.01: spent before the first step"),
        (["trainer.expected_batch_size=100000"], "trainer.expected_batch_size=100000 must be"),
    ],
)
def test_plan_that_no_step_fits_is_refused_before_a_model(loaded, extra, message):
    experiment, run_data = loaded(*BEAT)
    changed = load_experiment([*SMALL, *BEAT[:1], *BEAT[2:], *_merged(BEAT[1], extra)])
    assert experiment.dataset.num_patients == changed.dataset.num_patients
    with pytest.raises(ConfigError, match=message):
        planned_ledger(changed, run_data)


def _merged(default, extra):
    return extra if extra[0].startswith(default.partition("=")[0]) else [default, *extra]


def test_simulation_is_planned_without_a_guarantee(loaded):
    experiment, run_data = loaded(*BEAT)
    seeded = load_experiment([*SMALL, *BEAT, "privacy.noise_seed=1"])
    plan = plan_for(seeded, dataclasses.replace(run_data, withholds_training=False))
    assert plan.as_dict()["privacy"]["epsilon"] is None
    assert "simulation without a guarantee" in dict(rows(plan))["privacy"]
    assert experiment.withholds


SHAPES = {
    "rows": 1000,
    "window_values": 200,
    "feature_bytes": 800,
    "num_parameters": 100_000,
    "activations": 50_000,
    "most_rows": 10**6,
    "without_training_beats": False,
}


def test_memory_of_per_example_gradients_grows_with_the_model():
    ghost, vectorized = (
        estimate_memory(trainer=DpSgd(clipping=method), unit="beat", **SHAPES)
        for method in ("ghost", "vectorized")
    )
    assert vectorized.batch >= ghost.batch + 512 * 100_000 * 4
    assert (ghost.batch_setting, ghost.rows_at_once) == ("trainer.physical_batch_size", 512)


def test_rows_within_the_memory_are_a_smaller_power_of_two():
    estimate = estimate_memory(trainer=Centralized(batch_size=4096), unit=None, **SHAPES)
    half = estimate.total - estimate.batch // 2
    assert estimate.rows_within(half) == 2048
    assert estimate.rows_within(10**15) == 2048  # it did not fit, whatever the estimate says
    assert estimate.rows_within(0) == 1
