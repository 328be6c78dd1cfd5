"""What every test may ask for: the real database, where it is."""

import os
import shutil
import signal
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def private_dir(tmp_path_factory):
    """Runs without a store, and processes that tests start, leave nothing private in the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGEXP_PRIVATE", str(tmp_path_factory.mktemp("private")))
        yield


@pytest.fixture(scope="session")
def real_root():
    """The data root with the real database; a test that asks for it is also marked `real_data`."""
    root = Path(os.environ.get("ECGEXP_DATA", "nowhere"))
    if not (root / "mitdb").is_dir():
        pytest.skip("needs the MIT-BIH database: set ECGEXP_DATA to the folder that holds mitdb/")
    return root


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store without runs, to be copied: making one costs seconds."""
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store

    base = tmp_path_factory.mktemp("empty")
    open_store(
        "sqlite:///mlruns/mlflow.db", artifact_root=base, experiment_name="Default", base_dir=base
    )
    return base / "mlruns" / "mlflow.db"


@pytest.fixture
def here(tmp_path, monkeypatch, empty_store):
    """A folder with a store, in which commands are typed; what a store has not heard is not tried again at the end."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("ecgexp.tracking.mirrored.END_WAITS_S", ())
    return tmp_path


@pytest.fixture
def killed_while():
    """Runs what it is given in a child process that must end by SIGKILL, which the work sends to itself."""

    def run(work):
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

    return run
