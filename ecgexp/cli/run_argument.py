"""Finds the run that an argument of a command names, by MLflow run id or by folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    from ecgexp.analysis.find_runs import StoredRun


def named_run(name: str, argument: str, *, store: str | None = None) -> "StoredRun":
    """Finds a stored run.

    Args:
      name: an MLflow run id, or a run's folder.
      argument: written before the name in an error message, e.g. `"RUN "` or `"resume="`.
      store: URI of the MLflow store in which ids are looked up; None: `default_uri()`.

    Returns:
      The run's parameters, metrics, tags and files as they were stored.

    Raises:
      DataError: there is no such run.
    """
    from ecgexp.analysis.find_runs import find_run  # here, so that --help answers at once

    with naming(name, argument):
        return find_run(name, uri=store)


def named_folder(name: str, argument: str, *, store: str | None = None) -> Path:
    """Finds the folder of a run and checks that its `run.json` can be read.

    Args:
      name: see `named_run`.
      argument: see `named_run`.
      store: see `named_run`.

    Returns:
      The folder.

    Raises:
      DataError: there is no such run, or its folder is not on this machine.
    """
    from ecgexp.tracking.local.run_json import NAME, read_run

    folder = Path(name)
    if not os.path.isdir(name):  # Path.is_dir raises if the name is too long
        folder = Path(named_run(name, argument, store=store).tags.get("run.dir", ""))
        if not (folder / NAME).is_file():
            raise DataError(
                f"{argument}{name}: the run's folder {folder} is not on this machine; use this "
                "command on the machine where the run was made"
            )
    with naming(name, argument):
        read_run(folder)
    return folder


@contextmanager
def naming(name: str | None, argument: str) -> Iterator[None]:
    """Puts the argument before the message of a `DataError` that is raised within the block.

    Args:
      name: value of the argument; None: messages stay unchanged.
      argument: see `named_run`.

    Raises:
      DataError: one was raised within the block.
    """
    try:
        yield
    except DataError as error:
        if name is None:
            raise
        raise DataError(f"{argument}{name}: {str(error).removeprefix(f'{name} is ')}") from error
