import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from ecgexp.cli import ui

UI = [sys.executable, "-m", "ecgexp.cli.ui"]
PATIENT = "import sys; from ecgexp.cli import ui; ui._START_S = 400.0; {}; sys.exit(ui.main())"
# Answers like MLflow, and is the parent of another process.
STAND_IN = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"MLflow")

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Page)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
server.serve_forever()
"""
WITH_STAND_IN = (
    f"ui.server_command = lambda store, port: [sys.executable, '-c', {STAND_IN!r}, str(port)]"
)


def lives(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def free_port():
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        return probe.getsockname()[1]


def test_help_of_ui_does_not_import_mlflow():
    code = (
        "import sys; from ecgexp.cli import ui; assert 'mlflow' not in sys.modules; "
        "ui.main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--port" in done.stdout
    assert "--store" in done.stdout


def test_ui_without_runs_names_the_command_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert ui.main([]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/mlruns/mlflow.db does not exist" in said
    assert "use `ecgexp` to make one" in said


def test_ui_of_a_server_is_refused_without_its_password(capsys):
    assert ui.main(["--store", "http://me:hunter2@host:5000"]) == 2
    said = capsys.readouterr().err
    assert "--store http://host:5000: it is a server" in said
    assert "hunter2" not in said


def test_ui_port_in_use_is_refused_with_another_port(tmp_path, capsys):
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ui.main(["--store", f"sqlite:///{tmp_path}/mlflow.db", "--port", str(port)]) == 2
    assert f"--port {port}: it cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("port", [-1, 70000])
def test_ui_port_out_of_range_is_refused(tmp_path, capsys, port):
    (tmp_path / "mlflow.db").touch()
    assert ui.main(["--store", f"sqlite:///{tmp_path}/mlflow.db", "--port", str(port)]) == 2
    assert f"--port {port}: it cannot be used" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "server"),
    [(signal.SIGINT, ""), (signal.SIGTERM, WITH_STAND_IN)],
    ids=["MLflow, SIGINT", "stand-in, SIGTERM"],
)
def test_ui_serves_loopback_and_leaves_no_process(tmp_path, ending, server, empty_store):
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT.format(server or "0"), "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "stderr").open("wb"),
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
    )
    try:
        assert "starting" in process.stdout.readline()
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
            assert b"MLflow" in page.read()
        children = psutil.Process(process.pid).children(recursive=True)
        listening = {
            c.laddr.ip
            for child in children
            for c in child.net_connections()
            if c.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
        process.send_signal(ending)
        assert process.wait(timeout=60) == 0
        assert "0.0.0.0" not in (tmp_path / "stderr").read_text(encoding="utf-8"), (
            "MLflow's advice to listen on all interfaces"
        )
    finally:
        process.kill()
    until = time.monotonic() + 60
    while (alive := [child for child in children if lives(child)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert alive == []
