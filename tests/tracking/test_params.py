import hashlib

import pytest

from ecgexp.tracking.params import (
    HIDDEN,
    flatten,
    has_effect,
    loggable,
    parameters,
    redact,
    redacted,
    shorten,
    taggable,
)


def test_every_leaf_becomes_one_dotted_name():
    config = {
        "seed": 0,
        "trainer": {"epochs": 3, "schedule": {"kind": "cosine"}},
        "model": {"filters": [32, 64]},
        "tags": {},
    }
    assert flatten(config) == {
        "seed": 0, "trainer.epochs": 3, "trainer.schedule.kind": "cosine", "model.filters": "[32, 64]", "tags": "{}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://me:pw@host:5000/x", f"http://me:{HIDDEN}@host:5000/x"),
        ("postgresql+psycopg2://u:p%40w@db/mlflow", f"postgresql+psycopg2://u:{HIDDEN}@db/mlflow"),
        (
            "cannot reach https://:pw@host and ftp://a:b@c",
            f"cannot reach https://:{HIDDEN}@host and ftp://a:{HIDDEN}@c",
        ),
        ("sqlite:///mlruns/mlflow.db", "sqlite:///mlruns/mlflow.db"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://me:p@ss:w@host:5000/x@y", f"http://me:{HIDDEN}@host:5000/x@y"),
        (r"tracking.uri=http\://me\:pw@host\:5000/x", rf"tracking.uri=http\://me\:{HIDDEN}@host\:5000/x"),
        (r'"http\\://me\\:pw@host"', rf'"http\\://me\\:{HIDDEN}@host"'),
        ("http://a:b@c,http://d:e@f", f"http://a:{HIDDEN}@c,http://d:{HIDDEN}@f"),
        ("postgresql://host/db?user=me&password=pw&ssl=1", f"postgresql://host/db?user=me&password={HIDDEN}&ssl=1"),
        ("ecgexp privacy.noise_seed=7 seed=1", f"ecgexp privacy.noise_seed={HIDDEN} seed=1"),
        ("'privacy.noise_seed=null'", "'privacy.noise_seed=null'"),
        ("token=${oc.env:TOKEN}", "token=${oc.env:TOKEN}"),
        ('{"epsilon_if_noise_were_secret": 3.5}', '{"epsilon_if_noise_were_secret": 3.5}'),
    ],
)
def test_secrets_in_texts_are_hidden_and_nothing_else(text, kept):
    assert redact(text) == kept


def test_secrets_are_hidden_at_every_depth():
    config = {
        "privacy": {"noise_seed": 7, "noise_multiplier": 1.1},
        "servers": [{"password": "x", "uri": "http://a:b@c"}],
    }
    assert redacted(config) == {
        "privacy": {"noise_seed": HIDDEN, "noise_multiplier": 1.1},
        "servers": [{"password": HIDDEN, "uri": f"http://a:{HIDDEN}@c"}],
    }


def test_that_no_noise_seed_was_given_is_no_secret():
    assert loggable({"privacy.noise_seed": None}) == {"privacy.noise_seed": None}
    assert loggable({"privacy.noise_seed": 0}) == {"privacy.noise_seed": HIDDEN}


def test_tags_are_hidden_by_their_names_too():
    tags = {"api_token": "abc", "sweep.override.privacy.noise_seed": 7, "note": "at http://me:pw@host"}
    hidden = {"api_token": HIDDEN, "sweep.override.privacy.noise_seed": HIDDEN, "note": f"at http://me:{HIDDEN}@host"}
    assert taggable(tags) == hidden


def test_the_runs_own_seed_is_kept():
    assert loggable({"seed": 0}) == {"seed": 0}


def test_long_values_are_cut_to_the_limit_and_can_be_told_apart():
    text = "x" * 7000
    short = shorten(text, limit=6000)
    assert len(short) == 6000
    assert hashlib.sha256(text.encode()).hexdigest() in short
    assert shorten(text + "y", limit=6000) != short
    assert shorten("x" * 6000, limit=6000) == "x" * 6000


@pytest.mark.parametrize(
    "name",
    ["resume", "name", "tracking.uri", "tracking.tags.a.b", "sweep.budget_epsilon", "sweep.rerun", "sweep.objectives",
     "data.root", "checkpoints.every", "dataset.root", "dataset.cache_dir", "dataset.train.root", "dataset.test.cache_dir",
     "hydra.run.dir", "hydra/launcher", "tracking"],
)  # fmt: skip
def test_setting_without_effect_is_no_parameter(name):
    assert not has_effect(name)
    assert parameters({name: 1, "seed": 0}) == {"seed": 0}


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "names",
        "dataset.records",
        "dataset.root_mean",
        "model.root",
        "split.name",
        "privacy.population",
        "data2",
    ],
)
def test_setting_with_effect_is_a_parameter(name):
    assert has_effect(name)
