"""Show the runs in the MLflow UI, served to this machine only and without background jobs."""

import argparse
import contextlib
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
from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import resolved

HOST = "127.0.0.1"
_ADVICE = b"--host 0.0.0.0"
_EXAMPLE = """\
ecgexp-ui
ecgexp-ui --port 5001 --store sqlite:////home/me/study/mlruns/mlflow.db"""

_START_S = 90.0
_STOP_S = 5.0
# Without the job runner, and with one worker, the server takes 0.5 GB of memory instead of 2.5.
LIGHT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",  # its libraries' deprecations are nothing our users can fix
}


class UiError(DataError):
    """The MLflow UI cannot be started."""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; it runs until Ctrl-C."""
    options = _parse(arguments)
    return run_command("ecgexp-ui", lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    from ecgexp.tracking.mlflow.existing_store import default_uri

    address = f"http://{HOST}:{options.port}"
    try:
        store = find_store(options.store or default_uri())
        check_port_is_free(options.port)
        print(f"MLflow shows {redact(store)}; its server is starting …", flush=True)
        _open_store(store)
        with _ended_by_signals(), _server(store, options.port) as server:
            page = _page(store, address)
            wait_until_up(server, address)
            print(f"open {page} in a browser on this machine; Ctrl-C ends it", flush=True)
            server.wait()
    except KeyboardInterrupt:
        return 0
    raise UiError("the MLflow server exited; see its messages above")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-ui", description=__doc__, example=_EXAMPLE)
    parser.add_argument(
        "--port", type=int, default=5000, help="port on the loopback interface (%(default)s)"
    )
    parser.add_store()
    return parser.parse_args(arguments)


def find_store(uri: str) -> str:
    """Returns the URI of the store, with an absolute path.

    Raises:
      UiError: the store does not exist, or is a server, which has its own UI.
    """
    if uri.startswith(("http://", "https://")):
        raise UiError(
            f"--store {_without_user(uri)}: it is a server with its own UI; open it in a browser"
        )
    if not uri.startswith("sqlite:///"):
        return uri
    file = resolved(Path(uri.removeprefix("sqlite:///")))
    if not file.is_file():
        raise UiError(
            f"--store {uri}: there are no runs yet, {file} does not exist; use "
            f"`{to_type('ecgexp')}` to make one, or --store "
            "sqlite:///FOLDER/mlflow.db if they are elsewhere"
        )
    return f"sqlite:///{file}"


def _open_store(store: str) -> None:
    """Creates or checks the tables of a SQLite store; the server would upgrade them in place.

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


def _page(store: str, address: str) -> str:
    """Returns the address of the runs of the newest experiment; of all experiments without runs."""
    import mlflow

    from ecgexp.tracking.mlflow.runs_view import (
        experiments_link,
        is_tested,
        newest_experiment,
        runs_link,
    )

    try:
        newest = newest_experiment(mlflow.MlflowClient(tracking_uri=store))
    except Exception:  # noqa: BLE001 - the server is asked next, and tells what is wrong
        newest = None
    if newest is None:
        return experiments_link(address)
    return runs_link(address, newest, has_view=is_tested(mlflow.__version__))


def check_port_is_free(port: int) -> None:
    """Raises UiError if `port` is in use or may not be used."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise UiError(
            f"--port {port}: it cannot be used ({error}); use --port "
            f"{port + 1 if port < 65535 else 5000}"
        ) from error


def server_command(store: str, port: int) -> list[str]:
    """Returns the command that starts the MLflow server, on the loopback interface only."""
    options = ["--backend-store-uri", store, "--host", HOST, "--port", str(port)]
    options += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "server", *options]


@contextmanager
def _server(store: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the MLflow server in its own process group, which is ended when the block is left."""
    server = subprocess.Popen(
        server_command(store, port),
        env={**os.environ, **LIGHT},
        start_new_session=True,  # ignored on Windows
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
    """Prints the messages of the server, except its advice to serve other machines.

    The server has no authentication, so serving other machines would be unsafe.
    """
    for line in messages:
        if _ADVICE not in line:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()


def _end_group(server: subprocess.Popen[bytes]) -> None:
    if not hasattr(os, "killpg"):  # Windows
        _end_tree(server)
        return
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            server.poll()  # reaps the leader, so that an empty group is reported as missing
            if not _group_lives(server.pid):
                return
            time.sleep(0.05)


def _end_tree(server: subprocess.Popen[bytes]) -> None:
    """Ends the server and its workers where there are no process groups."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(server.pid)
        ending = [*process.children(recursive=True), process]
        for each in ending:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(ending, timeout=_STOP_S)
    server.wait(_STOP_S)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_up(server: subprocess.Popen[bytes], address: str) -> None:
    """Returns when the server answers.

    Raises:
      UiError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UiError(
                f"the MLflow server did not start (exit code {server.returncode}); see its "
                "messages above"
            )
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UiError(
        f"the MLflow server did not answer within {_START_S:.0f} s; use `{to_type('ecgexp-ui')}` "
        f"again, or `{to_type('ecgexp-doctor')}` to check the store"
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Treats SIGTERM and SIGHUP like Ctrl-C within the block, so that the server is ended too.

    A handler for SIGINT is installed as well, because a shell starts background commands with
    SIGINT ignored.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
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
