"""Credentials of addresses are known to the process and written nowhere."""

import os

import pytest

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking import credentials
from ecgexp.tracking.credentials import with_credentials, without_credentials


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv(credentials._VARIABLE, "{}")


@pytest.mark.parametrize(
    ("uri", "hidden"),
    [
        ("http://TOKEN:@host:5000", "http://***@host:5000"),
        ("http://TOKEN@host", "http://***@host"),
        ("http://me:p@ss@host/path", "http://***@host/path"),
        ("postgresql+psycopg2://u:p%40w@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("https://host/x?token=abc", "https://host/x?token=***"),
    ],
)
def test_address_without_credentials_opens_as_typed(uri, hidden):
    assert without_credentials([f"tracking.uri={uri}"]) == [f"tracking.uri={hidden}"]
    assert with_credentials(hidden) == uri


def test_quoted_and_swept_addresses_open_as_typed():
    words = without_credentials(["tracking.uri='http://a:b@one',http://c:d@two"])
    assert words == ["tracking.uri='http://***@one',http://***@two"]
    assert with_credentials("http://***@one") == "http://a:b@one"
    assert with_credentials("http://***@two") == "http://c:d@two"


def test_words_without_secrets_and_the_noise_seed_stay():
    words = [
        "-m",
        "privacy.noise_seed=7,8",
        "privacy={noise_seed:7}",
        "name=x",
        "tracking.uri=sqlite:///m.db",
        "model=mlp",
        "token=${oc.env:TOKEN}",
    ]
    assert without_credentials(words) == words


def test_words_are_the_same_when_hidden_twice():
    once = without_credentials(
        ["+tracking.tags.api_token=abc", "tracking.uri=http://a:b@one", "+tracking.tags.pwd='a b'"]
    )
    assert once == [
        "+tracking.tags.api_token=***",
        "tracking.uri=http://***@one",
        "+tracking.tags.pwd=***",
    ]
    assert without_credentials(once) == once
    assert with_credentials("http://***@one") == "http://a:b@one"


@pytest.mark.parametrize(
    "word",
    [
        "hydra.job.env_set.API_TOKEN=abc",
        "hydra.launcher.ray.init.address=ray://me:pw@host",
        "+hydra.x={password:a}",
    ],
)
def test_secret_in_setting_of_hydra_is_refused(word):
    with pytest.raises(ConfigError, match=r"hydra.*=.*\$\{oc\.env:NAME\}") as refused:
        without_credentials([word])
    assert "pw" not in str(refused.value).replace("password", "")
    assert "abc" not in str(refused.value)


def test_address_of_resumed_run_takes_environment(monkeypatch):
    with pytest.raises(
        ConfigError,
        match=r"tracking\.uri=http://\*\*\*@host.*MLFLOW_TRACKING_USERNAME.*MLFLOW_TRACKING_PASSWORD",
    ):
        with_credentials("http://***@host")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p w")
    assert with_credentials("http://***@host:1/x") == "http://host:1/x"  # MLflow adds them itself
    assert with_credentials("postgresql://***@db/x") == "postgresql://me:p%20w@db/x"


def test_token_in_environment_is_enough_for_server(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    assert with_credentials("http://***@host") == "http://host"
    with pytest.raises(ConfigError, match=r"tracking\.uri="):
        with_credentials("postgresql://***@db/x")


def test_credentials_are_inherited_by_child_processes():
    without_credentials(["tracking.uri=http://a:b@one"])
    assert "a:b" in os.environ[credentials._VARIABLE]
