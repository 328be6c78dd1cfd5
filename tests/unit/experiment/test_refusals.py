"""What is refused before a run exists in its store, and before anything expensive."""

from types import SimpleNamespace

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment import run as module
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.settings import MlflowTracking, NoTracking


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A small experiment whose data and model are not made."""
    monkeypatch.chdir(tmp_path)
    made = SimpleNamespace(
        training_loop=SimpleNamespace(ledger="ledger"),
        run_data=SimpleNamespace(beats=SimpleNamespace(digest="digest")),
    )
    monkeypatch.setattr(module, "set_up", lambda *_, **__: made)
    return lambda *overrides: load_experiment(["dataset.num_patients=10", *overrides])


def test_job_over_budget_leaves_no_run_in_its_store(experiment, tmp_path, monkeypatch):
    def refuse(ledger, digest):
        assert (ledger, digest) == ("ledger", "digest")
        raise ConfigError("sweep.budget_epsilon=1: refused")

    monkeypatch.setattr(MlflowTracking, "start", lambda *_, **__: pytest.fail("a run was made"))
    with pytest.raises(ConfigError, match="budget_epsilon"):
        module.run(experiment(), tmp_path / "run", admit=refuse)
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://127.0.0.1:9", "Connection refused; start the server"),
        ("mlruns", "it is a folder"),
        ("sqlite:///:memory:", "does not name a single SQLite file"),
        ("sqlite:///junk.db", "the file cannot be used.*restore it"),
    ],
)
def test_unusable_store_is_refused_before_the_data(experiment, tmp_path, monkeypatch, uri, why):
    monkeypatch.setattr(module, "set_up", lambda *_, **__: pytest.fail("data were loaded"))
    (tmp_path / "junk.db").write_bytes(b"not a database " * 100)
    with pytest.raises(ConfigError, match=f"tracking.uri=.*{why}"):
        module.run(experiment(f"tracking.uri={uri}"), tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junk.db"]


def test_check_of_a_new_store_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MlflowTracking().check()
    NoTracking().check()
    assert list(tmp_path.iterdir()) == []
