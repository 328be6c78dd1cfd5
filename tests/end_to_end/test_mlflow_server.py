"""A run in an MLflow server with log-in and an object store, all on loopback."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from artifact_server import artifact_server
from saved_model import save_model
from waiting import wait_for

from ecgexp.settings.declaration import ConfigError

pytestmark = pytest.mark.slow

USER, PASSWORD = "ecg", "a long password"
LOGIN = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{place}/login.db
admin_username = {user}
auth_cache_ttl_seconds = 600
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    """The address of the server, and the content of the object store."""
    place = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, place / "mlflow.db")
    (place / "login.ini").write_text(LOGIN.format(place=place, user=USER))
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(place / "login.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "INFO",
    }
    command = [
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "basic-auth",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--workers",
        "1",
    ]
    with artifact_server() as (address, content):
        stores = ("--backend-store-uri", f"sqlite:///{place}/mlflow.db")
        with (place / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command, *stores, "--artifacts-destination", address],
                cwd=place,
                env=os.environ | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            log = place / "log"
            wait_for(lambda: "Uvicorn running on http://" in log.read_text(), process)
            yield re.search(r"running on (http://[\d.]+:\d+)", log.read_text())[1], content
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def login(monkeypatch):
    """Sets the user and the password that are sent."""

    def use(password):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    return use


def open_server(address, tmp_path):
    from ecgexp.tracking.mlflow.store import open_store

    return open_store(
        address, artifact_root=tmp_path, experiment_name="with log-in", base_dir=tmp_path
    )


def test_model_of_a_run_is_read_back_from_the_server(server, login, tmp_path):
    from ecgexp.analysis.find_runs import find_run
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    address, content = server
    login(PASSWORD)
    folder = save_model(tmp_path / "model")
    tracker = MlflowTracker.create(open_server(address, tmp_path), "run")
    tracker.log_metrics({"test/accuracy": 0.5})
    tracker.log_text("a note", "notes.txt")
    tracker.log_model(folder)
    tracker.finish("FINISHED")
    assert any(name.endswith("/notes.txt") for name in content)
    assert any(name.endswith(".whl") for name in content)
    run = find_run(tracker.run_id, uri=address)
    assert (run.status, run.metrics["test/accuracy"]) == ("FINISHED", 0.5)
    read = run.artifact("model")
    assert {path.name: path.read_bytes() for path in read.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_wrong_password_is_refused_in_one_line(server, login, tmp_path):
    login("another password")
    with pytest.raises(ConfigError, match="tracking.uri=.*set MLFLOW_TRACKING_USERNAME") as refused:
        open_server(server[0], tmp_path)
    assert "another password" not in str(refused.value)
    assert "\n" not in str(refused.value)
