"""What a store's errors say: all of it, on one line, with what to do about a login."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ecgexp.cli import sync
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking.base import LoginRefused
from ecgexp.tracking.reasons import is_login, reason
from ecgexp.tracking.settings import MlflowTracking

NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


@pytest.fixture(params=[401, 403])
def closed(request):
    """The address of a server that lets nobody in, with a long answer."""

    class Closed(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else request.param)
            self.end_headers()
            self.wfile.write(b"You are not authenticated. " + b"x" * 300 + b" the end")

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_refused_login_of_a_run_names_the_variables(closed, tmp_path):
    with pytest.raises(ConfigError) as refused:
        MlflowTracking(uri=closed).start(run_name="a run", run_dir=tmp_path / "run")
    said = str(refused.value)
    assert all(name in said for name in NAMES)
    assert " the end" in said
    assert "\n" not in said
    assert not (tmp_path / "run" / "run.json").exists()


def test_refused_login_of_a_reader_names_the_variables(closed):
    from ecgexp.tracking.mlflow.existing_store import open_existing
    from ecgexp.tracking.mlflow.tracker import reaching

    client = open_existing(closed)
    with pytest.raises(LoginRefused) as refused, reaching():
        client.get_run("a" * 32)
    assert all(name in str(refused.value) for name in NAMES)


def test_refused_login_of_sync_names_the_variables(closed, tmp_path, capsys):
    from ecgexp.tracking.local.run_json import write_run

    values = {
        "status": "FINISHED",
        "reason": None,
        "params": {},
        "tags": {},
        "datasets": [],
        "artifacts": [],
    }
    write_run(
        tmp_path,
        values | {"run_id": "a" * 32, "store": {"uri": closed, "whole": False}, "ended": 1.0},
    )
    assert sync.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
    assert said.count("\n") == 1


@pytest.mark.parametrize("length", [100, 201, 5000])
def test_reason_is_whole_and_on_one_line(length):
    text = "word " * length + "the end"
    assert reason(ValueError(f"one\n  {text}\n")) == f"one {text}"


def test_reason_hides_secrets_and_repeated_statements():
    error = ValueError(
        "(sqlite3.OperationalError) locked at http://me:hunter2@host\n[SQL: INSERT INTO "
        "runs\nVALUES (1)]\n(x)"
    )
    assert reason(error) == "(sqlite3.OperationalError) locked at http://***@host"


def test_reason_of_a_silent_error_is_its_kind():
    assert reason(KeyError()) == "KeyError"


@pytest.mark.parametrize("status", [400, 404, 500])
def test_other_statuses_are_no_login(status):
    assert not is_login(ValueError(f"API request failed with error code {status} != 200"))


def test_errors_of_stores_are_not_cut_anywhere():
    """A slice of the text of an error, or its first line alone, is a message that is cut."""
    import re

    cut = re.compile(
        r"str\(error\)[^\n]*(?:\[:\d+\]|splitlines\(\)\[0\]|partition\(\"\\n\"\)\[0\])|why\[0\]\[:\d+\]"
    )
    package = Path(sync.__file__).parent
    found = [
        f"{path}: {line}"
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if cut.search(line)
    ]
    assert found == []


def test_damaged_store_is_said_whole(tmp_path):
    from ecgexp.tracking.mlflow.existing_store import open_existing

    with pytest.raises(DataError) as refused:
        open_existing("foo://" + "x" * 400)
    assert "x" * 400 in str(refused.value)
