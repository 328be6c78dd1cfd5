import hashlib

import pytest

from ecgexp.tracking.params import HIDDEN, flatten, loggable, redact, redacted, shorten


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
    ],
)
def test_passwords_in_addresses_are_hidden_and_nothing_else(text, kept):
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


def test_the_runs_own_seed_is_kept():
    assert loggable({"seed": 0}) == {"seed": 0}


def test_long_values_are_cut_to_the_limit_and_can_be_told_apart():
    text = "x" * 7000
    short = shorten(text, limit=6000)
    assert len(short) == 6000
    assert hashlib.sha256(text.encode()).hexdigest() in short
    assert shorten(text + "y", limit=6000) != short
    assert shorten("x" * 6000, limit=6000) == "x" * 6000
