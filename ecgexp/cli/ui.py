"""Show the runs of this folder in MLflow's own pages, on this machine only, without its background jobs."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved

HOST = "127.0.0.1"
_ADVICE = b"--host 0.0.0.0"
_EXAMPLE = """\
ecgexp-ui
ecgexp-ui --port 5001 --store sqlite:////home/me/study/mlruns/mlflow.db"""

_PAGE = "#/experiments?workflowType=machine_learning"  # by default MLflow shows its pages for language models

_START_S = 90.0
_STOP_S = 5.0
# Without the job runner, and with one worker, the server takes 0.5 GB of memory instead of 2.5.
_LIGHT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",  # its libraries' deprecations are nothing our users can fix
}


class UiError(DataError):
    """Why the pages cannot be shown, and what to use instead."""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; ends with Ctrl-C."""
    options = _parse(arguments)
    return run_command("ecgexp-ui", lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    from ecgexp.tracking.mlflow.existing_store import default_uri

    address = f"http://{HOST}:{options.port}"
    try:
        store = find_store(options.store or default_uri())
        check_port_is_free(options.port)
        _open_store(store)
        with _ended_by_signals(), _server(store, options.port) as server:
            print(f"MLflow shows {redact(store)}; its server is starting …", flush=True)
            _wait_until_up(server, address)
            print(
                f"open {address}/{_PAGE} in a browser on this machine; Ctrl-C ends it", flush=True
            )
            server.wait()
    except KeyboardInterrupt:
        return 0
    raise UiError("MLflow's server ended by itself; its own messages are above")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-ui", description=__doc__, example=_EXAMPLE)
    parser.add_argument(
        "--port", type=int, default=5000, help="on the loopback interface (%(default)s)"
    )
    parser.add_store()
    return parser.parse_args(arguments)


def find_store(uri: str) -> str:
    """The absolute address of the store.

    Raises:
      UiError: it is not there yet, or is a server, which has pages of its own.
    """
    if uri.startswith(("http://", "https://")):
        raise UiError(
            f"{_without_user(uri)} is a server and has its own pages: open it in the browser"
        )
    if not uri.startswith("sqlite:///"):
        return uri
    file = resolved(Path(uri.removeprefix("sqlite:///")))
    if not file.is_file():
        raise UiError(
            f"there are no runs yet: {file} does not exist. Make one with `uv run ecgexp`, or say where they are with "
            "--store sqlite:///FOLDER/mlflow.db"
        )
    return f"sqlite:///{file}"


def _open_store(store: str) -> None:
    """MLflow's server would make or upgrade the tables of a SQLite store in place.

    Raises:
      UiError: the store cannot be used.
    """
    if not store.startswith("sqlite:///"):
        return
    from ecgexp.settings.declaration import ConfigError
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store_tables import create_tables

    try:
        create_tables(Path(store.removeprefix("sqlite:///")))
    except ConfigError as error:
        raise UiError(
            str(error).replace("tracking.uri=", "--store ").replace(" or tracking=none", "")
        ) from error


def check_port_is_free(port: int) -> None:
    """Raises UiError if somebody listens on `port` already, or the port is not ours to take."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise UiError(
            f"port {port} cannot be used ({error}): use --port {port + 1 if port < 65535 else 5000}"
        ) from error


@contextmanager
def _server(store: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server in a process group of its own, which is gone when the block is left, whatever happens in it."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        store,
        "--host",
        HOST,
    ]
    command += ["--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    server = subprocess.Popen(
        command,
        env={**os.environ, **_LIGHT},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    messages = threading.Thread(target=_pass_on, args=(server.stderr,), daemon=True)
    messages.start()
    try:
        yield server
    finally:
        _end_group(server)
        messages.join(_STOP_S)


def _pass_on(messages: IO[bytes]) -> None:
    """Shows what the server reports, but for its advice to open it to other machines, which asks nobody for a password."""
    for line in messages:
        if _ADVICE not in line:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()


def _end_group(server: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            server.poll()  # collects the leader, so that an empty group counts as gone
            if not _group_lives(server.pid):
                return
            time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until_up(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UiError(
                f"MLflow's server did not start (exit code {server.returncode}); its own messages are above"
            )
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UiError(f"MLflow's server did not answer within {_START_S:.0f} s")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within the block SIGTERM and a closed terminal end it as Ctrl-C does, so that no server is left behind.

    Ctrl-C itself is asked for too: a shell starts a command in the background with it switched off.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _without_user(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


if __name__ == "__main__":
    sys.exit(main())
