"""What `ecgexp-doctor` looks at. Each check says what it found, and what to do where that is not enough."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import resolved

_GIB = 2**30
# Without these nothing runs; the others are only missed by the runs that use them.
_ESSENTIAL = (
    "tensorflow",
    "mlflow",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "scikit-learn",
    "wfdb",
    "matplotlib",
)
_FOR_SOME = {
    "tensorflow-federated": "federated runs",
    "dp-accounting": "private runs",
    "tensorflow-privacy": "federated_baselines",
}
_SYNC = "`uv sync`"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
      what: what was looked at.
      state: `good`; `note`: something is worth knowing or limits some runs; `bad`: runs will fail.
      found: what there is.
      advice: what to do about it; empty where nothing is to be done.
    """

    what: str
    state: Literal["good", "note", "bad"]
    found: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where to look.

    Attributes:
      data_root: folder of the databases.
      store: tracking.uri= of the runs.
      runs_dir: folder of the run directories.
      close_stale: mark runs KILLED whose process is gone.
    """

    data_root: Path
    store: str
    runs_dir: Path
    close_stale: bool


def check_versions(_: Settings) -> Iterator[Finding]:
    """Python and the packages: what is there in one line, what is missing in one each."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info[:2] == (3, 11)
    yield Finding(
        what="Python",
        state="good" if fits else "bad",
        found=python,
        advice="" if fits else f"needs 3.11: {_SYNC}",
    )
    found = {name: _version(name) for name in (*_ESSENTIAL, *_FOR_SOME)}
    yield Finding(
        what="packages",
        state="good",
        found=", ".join(f"{name} {at}" for name, at in found.items() if at),
    )
    for name in (name for name, at in found.items() if at is None):
        users = _FOR_SOME.get(name)
        state, advice = (
            ("note", f"only {users} need it: {_SYNC}") if users else ("bad", f"install it: {_SYNC}")
        )
        yield Finding(what=name, state=state, found="not installed", advice=advice)


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Cores, memory and room on the disk."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(what="CPU", state="good", found=f"{cores} cores for this process")
    memory = psutil.virtual_memory()
    enough = memory.available >= 4 * _GIB
    yield Finding(
        what="memory", state="good" if enough else "note",
        found=f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free",
        advice="" if enough else "all 48 records of mitdb want up to 4 GiB: close other programs",
    )  # fmt: skip
    free = shutil.disk_usage(_existing(settings.runs_dir)).free
    state = "bad" if free < 0.2 * _GIB else "note" if free < 2 * _GIB else "good"
    advice = (
        ""
        if state == "good"
        else "free some room, or choose another disk with hydra.run.dir=… and tracking.artifact_root=…"
    )
    yield Finding(
        what="disk",
        state=state,
        found=f"{free / _GIB:.1f} GiB free for {settings.runs_dir}",
        advice=advice,
    )


def check_devices(_: Settings) -> Iterator[Finding]:
    """What TensorFlow sees; imports it, which takes seconds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    except Exception as error:  # noqa: BLE001 - a broken installation breaks in its own way
        yield Finding(
            what="TensorFlow",
            state="bad",
            found=f"does not load: {error}",
            advice="install it anew: `uv sync --reinstall`",
        )
        return
    if gpus:
        names = [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in gpus
        ]
        yield Finding(
            what="GPU",
            state="good",
            found=", ".join(names),
            advice="used by device=auto and device=gpu",
        )
    elif shutil.which("nvidia-smi"):
        advice = "`uv run --extra gpu ecgexp device=gpu` installs the CUDA libraries"
        yield Finding(
            what="GPU",
            state="note",
            found="the driver is here, but TensorFlow sees no GPU",
            advice=advice,
        )
    else:
        yield Finding(what="GPU", state="good", found="none: runs use the CPU")


def check_data(settings: Settings) -> Iterator[Finding]:
    """Which databases are there, and whether all their files are."""
    from ecgexp.data.datasets.catalog import DATABASES, MITDB
    from ecgexp.data.datasets.recorded import find_folder
    from ecgexp.data.formats import csv_reader, wfdb_reader

    absent = []
    readers = [(database, "wfdb", wfdb_reader) for database in DATABASES.values()]
    for database, layout, reader in (*readers, (MITDB, "kaggle_csv", csv_reader)):
        name = f"{database.name}_csv" if layout == "kaggle_csv" else database.name
        try:
            folder = find_folder(settings.data_root, database, database.records, layout)
        except DataError:
            absent.append(name)
            continue
        whole = [
            record
            for record in database.records
            if all(path.is_file() for path in reader.files_of(folder, record))
        ]
        lacking = len(whole) < len(database.records)
        yield Finding(
            what=name, state="note" if lacking and layout == "wfdb" else "good",
            found=f"{len(whole)} of {len(database.records)} records in {folder}",
            advice=f"fetch the rest: {database.fix}" if lacking and layout == "wfdb" else "",
        )  # fmt: skip
    if absent:
        fetch = "the default needs none; else `uv run python scripts/fetch_data.py NAME`, or set ECGEXP_DATA"
        state = "note" if len(absent) > len(readers) else "good"
        yield Finding(
            what="other data",
            state=state,
            found=f"{', '.join(absent)} not below {settings.data_root}",
            advice=fetch,
        )


def check_store(settings: Settings) -> Iterator[Finding]:
    """The MLflow store: can it be written, has it all of the runs that ended, and does it show others that did?"""
    yield from _check_whole(settings)
    yield from _check_reachable(settings)


def _check_whole(settings: Settings) -> Iterator[Finding]:
    from ecgexp.tracking.local.run_json import not_whole

    found, damaged = not_whole(settings.runs_dir)
    for error in damaged:
        what, _, advice = str(error).rpartition("; ")
        yield Finding(what="runs", state="note", found=what, advice=advice)
    if found:
        names = ", ".join(str(folder) for folder in found[:3]) + (" …" if len(found) > 3 else "")
        where = "" if settings.runs_dir == Path("outputs") else f" --runs-dir {settings.runs_dir}"
        yield Finding(
            what="runs", state="note", found=f"{len(found)} {'is' if len(found) == 1 else 'are'} not whole in MLflow: {names}",
            advice=f"bring it what it lacks: `uv run ecgexp-sync{where}`",
        )  # fmt: skip


def _check_reachable(settings: Settings) -> Iterator[Finding]:
    from ecgexp.settings.redaction import redact
    from ecgexp.tracking.mlflow.health import check_sqlite

    if not settings.store.startswith("sqlite:///"):
        yield from _check_server(settings)
        return
    file = resolved(Path(settings.store.removeprefix("sqlite:///")))
    try:
        check_sqlite(file)
    except ConfigError as error:
        yield Finding(
            what="MLflow store",
            state="bad",
            found=redact(str(error)),
            advice="or run with tracking=none",
        )
        return
    if not file.exists():
        yield Finding(
            what="MLflow store", state="good", found=f"none yet; the first run makes {file}"
        )
        return
    yield Finding(
        what="MLflow store",
        state="good",
        found=f"{file}, writable",
        advice="look at it: `uv run ecgexp-ui`",
    )
    yield from _check_stale(f"sqlite:///{file}", close=settings.close_stale)


def _check_stale(store: str, *, close: bool) -> Iterator[Finding]:
    from ecgexp.tracking.mlflow.health import close_stale, find_stale
    from ecgexp.tracking.reasons import reason

    try:
        stale = (close_stale if close else find_stale)(store)
    except Exception as error:  # noqa: BLE001 - a store of another MLflow version breaks in its own way
        advice = "restore the store from a backup, or use another with --store"
        why = reason(error)
        yield Finding(what="runs", state="bad", found=f"cannot be listed: {why}", advice=advice)
        return
    names = ", ".join(f"{run.name} ({run.run_id[:8]})" for run in stale[:5]) + (
        " …" if len(stale) > 5 else ""
    )
    if not stale:
        yield Finding(what="runs", state="good", found="none says RUNNING without its process")
    elif close:
        yield Finding(what="runs", state="good", found=f"{len(stale)} marked KILLED: {names}")
    else:
        advice = "mark them KILLED: `uv run ecgexp-doctor --close-stale`"
        yield Finding(
            what="runs",
            state="note",
            found=f"{len(stale)} say RUNNING, but their process is gone: {names}",
            advice=advice,
        )


def _check_server(settings: Settings) -> Iterator[Finding]:
    from ecgexp.settings.redaction import redact
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import reach

    try:
        reach(settings.store)
    except ConfigError as error:
        yield Finding(what="MLflow store", state="bad", found=str(error))
        return
    yield Finding(what="MLflow store", state="good", found=f"{redact(settings.store)} answers")
    yield from _check_stale(settings.store, close=settings.close_stale)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
