"""Digests and names of jobs and sweeps."""

import pytest
from plugin_packages import MODEL, forget, install, on_path

from ecgexp.sweeps.identity import (
    code_digest,
    command,
    job_digest,
    job_name,
    sweep_digest,
    sweep_name,
)

VALUES = {
    "seed": 1,
    "trainer": {"epochs": 3},
    "dataset": {"records": ["100"], "root": "/a", "cache_dir": "/b"},
    "tracking": {"uri": "sqlite:///x"},
    "sweep": {"rerun": False},
    "data": {"root": "/a"},
    "name": "ecgexp",
}


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
def test_job_digest_ignores_settings_without_effect(change):
    assert job_digest(VALUES, "code") == job_digest(VALUES | change, "code")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"trainer": {"epochs": 4}},
        {"dataset": {"records": ["101"], "root": "/a", "cache_dir": "/b"}},
    ],
)
def test_job_digest_depends_on_settings_with_effect(change):
    assert job_digest(VALUES, "code") != job_digest(VALUES | change, "code")


def test_job_digest_depends_on_the_code():
    assert job_digest(VALUES, "code") != job_digest(VALUES, "changed code")
    assert len(code_digest()) == 64


def test_sweep_digest_ignores_the_order_of_overrides():
    assert sweep_digest(["seed=1,2", "model=cnn1d"]) == sweep_digest(["model=cnn1d", "seed=1,2"])
    assert sweep_digest(["seed=1,2"]) != sweep_digest(["seed=1,2,3"])


@pytest.mark.parametrize(
    "override",
    [
        "sweep.rerun=true",
        "sweep.budget_epsilon=3",
        "tracking=none",
        "tracking.uri=x",
        "+tracking.tags.a=1",
        "checkpoints.every=2",
        "data.root=/a",
        "dataset.cache_dir=/b",
        "dataset.train.root=/c",
        "hydra/launcher=processes",
        "hydra.sweep.dir=here",
        "name=other",
    ],
)
def test_sweep_digest_ignores_settings_without_effect(override):
    assert sweep_digest(["seed=1,2", override]) == sweep_digest(["seed=1,2"])


def test_job_digest_ignores_folders_of_two_databases():
    def values(folder):
        parts = {
            part: {"root": folder, "cache_dir": folder, "leads": ["MLII"]}
            for part in ("train", "test")
        }
        return VALUES | {"dataset": parts}

    assert job_digest(values("/a"), "code") == job_digest(values("/b"), "code")


def test_job_name_lists_what_the_sweep_varies():
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


def test_job_name_with_ambiguous_keys_has_full_keys():
    job = ["trainer.seed=1", "dataset.seed=2", "model=cnn1d"]
    typed = ["trainer.seed=1,2", "dataset.seed=1,2", "model=cnn1d"]
    assert job_name(job, typed) == "trainer.seed=1 dataset.seed=2"


def test_command_is_quoted_and_redacts_secrets():
    words = [
        "seed=1",
        "hydra.sweeper.direction=[a, b]",
        "privacy.noise_seed=7",
        "tracking.uri=http://me:pw@host",
    ]
    typed = command(words, multirun=True)
    assert typed == (
        "ecgexp -m seed=1 'hydra.sweeper.direction=[a, b]' 'privacy.noise_seed=***' "
        "'tracking.uri=http://***@host'"
    )


def test_command_names_the_own_folder_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {
        tmp_path / "my conf": "'my conf'",
        tmp_path.parent / "other": tmp_path.parent / "other",
    }
    for folder, shown in named.items():
        typed = command(["experiment=mine"], multirun=True, config_dir=folder)
        assert typed == f"ecgexp --config-dir {shown} -m experiment=mine"


def test_job_with_other_code_of_its_plugin_is_another_one(tmp_path):
    values = {"model": {"_target_": "mine.Net"}}
    with on_path(tmp_path):
        install(tmp_path, "mine", {"__init__.py": MODEL})
        forget()
        before = job_digest(values, "code")
        (tmp_path / "mine/more.py").touch()
        assert job_digest(values, "code") != before


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
        (["seed=1,2", "console.json=true"], "seed=1,2"),
    ],
)
def test_sweep_name_begins_with_what_it_varies(typed, name):
    assert sweep_name(typed) == name
