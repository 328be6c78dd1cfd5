"""Finds the run that an argument of a command names: by folder, by MLflow id, or as `latest`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.settings.declaration import ConfigError, DataError

if TYPE_CHECKING:
    from ecgexp.analysis.find_runs import StoredRun
    from ecgexp.analysis.run_list import ListedRun
    from ecgexp.analysis.run_names import Latest


def named_run(name: str, argument: str, *, store: str | None = None) -> "StoredRun":
    """Finds a stored run.

    Args:
      name: a run's folder, an MLflow run id or the beginning of one, or `latest`, which is the
        finished run that was started last.
      argument: written before the name in an error message, e.g. `"RUN "` or `"resume="`.
      store: URI of the MLflow store in which ids are looked up; None: `default_uri()`.

    Returns:
      The run's parameters, metrics, tags and files as they were stored.

    Raises:
      DataError: there is no such run, or there are several.
    """
    from ecgexp.analysis.find_runs import find_run, is_folder  # here, so that --help is fast

    with naming(name, argument):
        if is_folder(name):
            return find_run(name)
        found = _searched(name, store, "finished")
        return find_run(found.run_id or str(found.folder), uri=store)


def named_folder(
    name: str, argument: str, *, store: str | None = None, latest: "Latest" = "ended"
) -> Path:
    """Finds the folder of a run and checks that its `run.json` can be read.

    Args:
      name: see `named_run`.
      argument: see `named_run`.
      store: see `named_run`.
      latest: which run `latest` is, see `ecgexp.analysis.run_names.run_named`.

    Returns:
      The folder.

    Raises:
      DataError: there is no such run, or its folder is not on this machine.
    """
    from ecgexp.analysis.find_runs import is_folder
    from ecgexp.tracking.local.run_json import NAME, read_run

    with naming(name, argument):
        if is_folder(name):
            folder = Path(name)
        else:
            folder = _searched(name, store, latest).folder
            if folder is None or not (folder / NAME).is_file():
                raise DataError(
                    f"the run's folder {folder or ''} is not on this machine; use this command on "
                    "the machine where the run was made"
                )
        read_run(folder)
    return folder


def resumed_folder(name: str) -> Path:
    """Finds the folder of the run that `resume=` names.

    Args:
      name: see `named_run`; `latest` is the last run that was interrupted or failed.

    Returns:
      The folder.

    Raises:
      ConfigError: no run has that name, or several have: it is a value of the command.
      DataError: its `run.json` is damaged.
    """
    from ecgexp.tracking.local.run_json import NAME

    try:
        return named_folder(name, "resume=", latest="resumable").absolute()
    except DataError as error:
        if os.path.lexists(Path(name) / NAME):
            raise
        raise ConfigError(str(error)) from error


def named_runs(name: str, argument: str, *, store: str | None = None) -> str:
    """Finds a sweep, or a run.

    Args:
      name: a folder, an MLflow id or the beginning of one, or `latest`, which is the finished run
        that was started last, or its sweep if it is a job of one.
      argument: see `named_run`.
      store: see `named_run`.

    Returns:
      The folder of a run or of an invocation of a sweep, or a whole MLflow id.

    Raises:
      DataError: there is no such run, or there are several.
    """
    from ecgexp.analysis.find_runs import is_folder
    from ecgexp.analysis.run_names import LATEST

    with naming(name, argument):
        if is_folder(name):
            return name
        found = _found(name, store, "finished")
    if name == LATEST and found.sweep:
        if found.parent_id is not None and found.in_store:
            _print_sweep(found, store, lambda run: run.parent_id == found.parent_id)
            return found.parent_id
        if (folder := found.folder and found.folder.parent) is not None:
            _print_sweep(found, store, lambda run: run.folder and run.folder.parent == folder)
            return str(folder)
    if name == LATEST:
        _print_latest(found)
    return found.run_id if found.run_id and found.in_store else str(found.folder)


def _searched(name: str, store: str | None, latest: "Latest") -> "ListedRun":
    from ecgexp.analysis.run_names import LATEST

    found = _found(name, store, latest)
    if name == LATEST:
        _print_latest(found)
    return found


def _found(name: str, store: str | None, latest: "Latest") -> "ListedRun":
    from ecgexp.analysis.run_names import run_named

    return run_named(name, uri=store, latest=latest)


def _print_latest(run: "ListedRun") -> None:
    shown = run.folder or run.run_id
    print(f"latest: {shown} ({run.name}, {run.status.lower()})", file=sys.stderr)


def _print_sweep(
    job: "ListedRun", store: str | None, is_job: Callable[["ListedRun"], object]
) -> None:
    from ecgexp.analysis.run_list import list_runs

    jobs = sum(map(bool, map(is_job, list_runs(uri=store).runs)))
    shown = job.sweep if job.folder is None else job.folder.parent
    print(f"latest: sweep {shown} ({jobs} job{'' if jobs == 1 else 's'})", file=sys.stderr)


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
