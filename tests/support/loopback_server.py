"""MLflow's server on the loopback interface, as `ecgexp-ui` starts it.

It is one fork of a process that has its libraries: `mlflow server` imports them twice, for its
command and for its server.
"""

import os
import signal
import socket
from contextlib import contextmanager

from preloaded import Command

from ecgexp.cli import ui

# The command runs to its end; the server, which it would start in a process, runs here.
_SERVER = """
import os, sys, uvicorn, mlflow.server

def run_here(command, *, extra_env, **_):
    os.environ.update(extra_env)
    uvicorn.main(command[3:])

mlflow.server._exec_cmd = run_here
from mlflow.cli import cli
cli(sys.argv[1:])
"""


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        return probe.getsockname()[1]


@contextmanager
def mlflow_server(store, port, cwd):
    """The server, up; at the end it is gone without notice, as by a power cut."""
    options = ui.server_command(store, port)[3:]  # after `python -m mlflow`
    environment = {**os.environ, **ui.LIGHT}
    with Command(*options, cwd=cwd, env=environment, code=_SERVER) as process:
        try:
            ui.wait_until_up(process, f"http://{ui.HOST}:{port}")
            yield
        finally:
            process.send_signal(signal.SIGKILL)
