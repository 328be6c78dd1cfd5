"""Which job is which."""

import pytest

from ecgexp.sweeps.identity import (
    code_digest,
    command,
    job_digest,
    job_name,
    sweep_digest,
    sweep_name,
)

VALUES = {
    "seed": 1, "trainer": {"epochs": 3}, "dataset": {"records": ["100"], "root": "/a", "cache_dir": "/b"},
    "tracking": {"uri": "sqlite:///x"}, "sweep": {"rerun": False}, "data": {"root": "/a"}, "name": "ecgexp",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"tracking": {"uri": "sqlite:///y"}},
        {"sweep": {"rerun": True}},
        {"name": "other"},
        {"data": {"root": "/c"}},
        {"dataset": {"records": ["100"], "root": "/c", "cache_dir": "/d"}},
        {"checkpoints": {"every": 2}},
        {"resume": "run"},
    ],
)
def test_where_a_run_is_kept_does_not_make_it_another(change):
    assert job_digest(VALUES, "code") == job_digest(VALUES | change, "code")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"trainer": {"epochs": 4}},
        {"dataset": {"records": ["101"], "root": "/a", "cache_dir": "/b"}},
    ],
)
def test_what_decides_the_result_does(change):
    assert job_digest(VALUES, "code") != job_digest(VALUES | change, "code")


def test_other_code_makes_another_job():
    assert job_digest(VALUES, "code") != job_digest(VALUES, "changed code")
    assert len(code_digest()) == 64


def test_a_sweep_is_known_by_what_was_typed_in_any_order():
    assert sweep_digest(["seed=1,2", "model=cnn1d"]) == sweep_digest(["model=cnn1d", "seed=1,2"])
    assert sweep_digest(["seed=1,2"]) != sweep_digest(["seed=1,2,3"])


@pytest.mark.parametrize(
    "override",
    ["sweep.rerun=true", "sweep.budget_epsilon=3", "tracking=none", "tracking.uri=x", "+tracking.tags.a=1",
     "checkpoints.every=2", "data.root=/a", "dataset.cache_dir=/b", "dataset.train.root=/c", "hydra/launcher=processes",
     "hydra.sweep.dir=here", "name=other"],
)  # fmt: skip
def test_sweep_with_a_setting_without_effect_is_the_same(override):
    assert sweep_digest(["seed=1,2", override]) == sweep_digest(["seed=1,2"])


def test_job_of_two_databases_is_known_wherever_they_lie():
    def values(place):
        parts = {
            part: {"root": place, "cache_dir": place, "leads": ["MLII"]}
            for part in ("train", "test")
        }
        return VALUES | {"dataset": parts}

    assert job_digest(values("/a"), "code") == job_digest(values("/b"), "code")


def test_a_job_is_named_by_what_differs():
    typed = ["trainer=dp", "privacy.noise_multiplier=0.8,1.0", "seed=1,2"]
    job = ["trainer=dp", "privacy.noise_multiplier=1.0", "seed=2"]
    assert job_name(job, typed) == "noise_multiplier=1.0 seed=2"
    assert job_name(typed, typed) == "trainer=dp noise_multiplier=0.8,1.0 seed=1,2"
    assert job_name([], []) == "defaults"
    typed = ["tracking.uri=sqlite:///runs.db", "protocol_errors.beat_cap=false", "seed=1,2"]
    assert (
        job_name(
            ["tracking.uri=sqlite\\:///runs.db", "protocol_errors.beat_cap=False", "seed=2"], typed
        )
        == "seed=2"
    )


def test_two_settings_of_one_last_name_keep_their_full_names():
    job = ["trainer.seed=1", "dataset.seed=2", "model=cnn1d"]
    typed = ["trainer.seed=1,2", "dataset.seed=1,2", "model=cnn1d"]
    assert job_name(job, typed) == "trainer.seed=1 dataset.seed=2"


def test_a_command_can_be_typed_and_holds_no_secret():
    words = [
        "seed=1",
        "hydra.sweeper.direction=[a, b]",
        "privacy.noise_seed=7",
        "tracking.uri=http://me:pw@host",
    ]
    typed = command(words, multirun=True)
    assert typed == (
        "ecgexp -m seed=1 'hydra.sweeper.direction=[a, b]' 'privacy.noise_seed=***' 'tracking.uri=http://***@host'"
    )


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (
            ["trainer=dp", "privacy.noise_multiplier=1,2", "seed=1"],
            "noise_multiplier=1,2 trainer=dp seed=1",
        ),
        (
            ["evaluate_on=[validation,test]", "seed=range(0,3)"],
            "seed=range(0,3) evaluate_on=[validation,test]",
        ),
        (["trainer=dp,federated"], "trainer=dp,federated"),
    ],
)
def test_a_sweep_is_named_by_what_it_varies_first(typed, name):
    assert sweep_name(typed) == name
