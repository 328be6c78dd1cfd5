"""The state of the process that a run from Python leaves as it was."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ecgexp.console import show_log

_LIBRARIES = ("alembic", "mlflow", "mlflow.utils.environment", "mlflow.store.db.utils")


@contextmanager
def quiet_and_restored() -> Iterator[None]:
    """Show notes and warnings as the command does within the block, without TensorFlow's log lines.

    If the root logger has handlers, they get the notes and warnings. Environment and logging are
    restored after the block.

    **Guarantees**: after the block, also if it raises, the environment, the handlers and level of
    the root logger and the levels of the libraries that a run quiets are as before
    (`tests/unit/api/test_running.py`).
    """
    environment = dict(os.environ)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in _LIBRARIES}
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    show_log()
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
