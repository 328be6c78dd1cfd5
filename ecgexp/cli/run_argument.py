"""The run that an argument of a command names, by its id in MLflow or by its folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    from ecgexp.analysis.find_runs import StoredRun


def named_run(name: str, argument: str, *, store: str | None = None) -> "StoredRun":
    """The run as it was kept.

    Args:
      name: an MLflow run id, or a run's folder.
      argument: what stands before the name in a refusal, e.g. `"RUN "` or `"resume="`.
      store: where ids are looked up; None: `default_uri()`.

    Raises:
      DataError: there is no such run.
    """
    from ecgexp.analysis.find_runs import find_run  # here, so that --help answers at once

    with naming(name, argument):
        return find_run(name, uri=store)


def named_folder(name: str, argument: str, *, store: str | None = None) -> Path:
    """The folder of a run, which has a readable `run.json`.

    Args:
      name: see `named_run`.
      argument: see `named_run`.
      store: see `named_run`.

    Raises:
      DataError: there is no such run, or its folder is not on this machine.
    """
    from ecgexp.tracking.local.run_json import NAME, read_run

    folder = Path(name)
    if not os.path.isdir(name):  # unlike Path.is_dir, says no to a name that no file can have
        folder = Path(named_run(name, argument, store=store).tags.get("run.dir", ""))
        if not (folder / NAME).is_file():
            raise DataError(
                f"{argument}{name}: the run's folder {folder} is not on this machine; use this command where the run was made"
            )
    with naming(name, argument):
        read_run(folder)
    return folder


@contextmanager
def naming(name: str | None, argument: str) -> Iterator[None]:
    """Within the block a refusal begins with the argument that it is about; with None as name, it stays as it is."""
    try:
        yield
    except DataError as error:
        if name is None:
            raise
        raise DataError(f"{argument}{name}: {str(error).removeprefix(f'{name} is ')}") from error
