import hashlib

import pytest

from ecgexp.settings.redaction import HIDDEN, redacted
from ecgexp.tracking.params import flatten, has_effect, loggable, parameters, shorten, taggable


def test_every_leaf_becomes_one_dotted_name():
    config = {
        "seed": 0,
        "trainer": {"epochs": 3, "schedule": {"kind": "cosine"}},
        "model": {"filters": [32, 64]},
        "tags": {},
    }
    assert flatten(config) == {
        "seed": 0,
        "trainer.epochs": 3,
        "trainer.schedule.kind": "cosine",
        "model.filters": "[32, 64]",
        "tags": "{}",
    }


def test_secrets_are_hidden_at_every_depth():
    config = {
        "privacy": {"noise_seed": 7, "noise_multiplier": 1.1},
        "servers": [{"password": "x", "uri": "http://a:b@c"}],
    }
    assert redacted(config) == {
        "privacy": {"noise_seed": HIDDEN, "noise_multiplier": 1.1},
        "servers": [{"password": HIDDEN, "uri": f"http://{HIDDEN}@c"}],
    }


def test_that_no_noise_seed_was_given_is_no_secret():
    assert loggable({"privacy.noise_seed": None}) == {"privacy.noise_seed": None}
    assert loggable({"privacy.noise_seed": 0}) == {"privacy.noise_seed": HIDDEN}


def test_tags_are_hidden_by_their_names_too():
    tags = {
        "api_token": "abc",
        "sweep.override.privacy.noise_seed": 7,
        "note": "at http://me:pw@host",
    }
    hidden = {
        "api_token": HIDDEN,
        "sweep.override.privacy.noise_seed": HIDDEN,
        "note": f"at http://{HIDDEN}@host",
    }
    assert taggable(tags) == hidden


def test_the_runs_own_seed_is_kept():
    assert loggable({"seed": 0}) == {"seed": 0}


def test_long_values_are_cut_and_stay_distinguishable():
    text = "x" * 7000
    short = shorten(text, limit=6000)
    assert len(short) == 6000
    assert hashlib.sha256(text.encode()).hexdigest() in short
    assert shorten(text + "y", limit=6000) != short
    assert shorten("x" * 6000, limit=6000) == "x" * 6000


@pytest.mark.parametrize(
    "name",
    [
        "resume",
        "name",
        "tracking.uri",
        "tracking.tags.a.b",
        "sweep.budget_epsilon",
        "sweep.rerun",
        "sweep.objectives",
        "data.root",
        "checkpoints.every",
        "figures.format",
        "dataset.root",
        "dataset.cache_dir",
        "dataset.train.root",
        "dataset.test.cache_dir",
        "hydra.run.dir",
        "hydra/launcher",
        "tracking",
    ],
)
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
        "privacy.hypothetical_population",
        "data2",
    ],
)
def test_setting_with_effect_is_a_parameter(name):
    assert has_effect(name)
