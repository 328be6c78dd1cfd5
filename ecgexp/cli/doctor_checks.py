"""The checks of `ecgexp-doctor`; each yields what it found and, for a problem, how to fix it."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from ecgexp.formatting import number_text
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.installation import install_extra, install_federated, reinstall, to_type
from ecgexp.storage.atomic import resolved

_GIB = 2**30
# Every installation has these; only federated runs need the others.
_ESSENTIAL = (
    "tensorflow",
    "dp-accounting",
    "mlflow",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "scikit-learn",
    "wfdb",
    "matplotlib",
)
_FOR_FEDERATED = ("tensorflow-federated", "tensorflow-privacy")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
      what: what was checked.
      state: `good`; `note`: some runs are limited; `bad`: all runs will fail.
      found: what was found.
      advice: how to fix it; empty if nothing needs to be done.
    """

    what: str
    state: Literal["good", "note", "bad"]
    found: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to check.

    Attributes:
      data_root: folder of the databases.
      store: URI of the MLflow store.
      runs_dir: folder that contains run folders.
      close_stale: whether to mark runs as KILLED whose process has ended.
    """

    data_root: Path
    store: str
    runs_dir: Path
    close_stale: bool


def check_versions(_: Settings) -> Iterator[Finding]:
    """Checks Python and the packages: one finding for those installed, one per missing one."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info[:2] == (3, 11)
    yield Finding(
        what="Python",
        state="good" if fits else "bad",
        found=python,
        advice="" if fits else "install ecgexp in an environment with Python 3.11",
    )
    found = {name: _version(name) for name in (*_ESSENTIAL, *_FOR_FEDERATED)}
    yield Finding(
        what="packages",
        state="good",
        found=", ".join(f"{name} {at}" for name, at in found.items() if at),
    )
    for name in (name for name in _ESSENTIAL if found[name] is None):
        yield Finding(what=name, state="bad", found="not installed", advice=reinstall(name))
    lacking = [name for name in _FOR_FEDERATED if found[name] is None]
    if lacking:
        yield Finding(
            what="federated training",
            state="note",
            found=f"{' and '.join(lacking)} not installed",
            advice=f"only federated runs need it: {install_federated()}",
        )


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Checks cores, memory and disk space."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(
        what="CPU", state="good", found=f"{number_text(cores or 1, 'core')} for this process"
    )
    memory = psutil.virtual_memory()
    enough = memory.available >= 4 * _GIB
    yield Finding(
        what="memory",
        state="good" if enough else "note",
        found=f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free",
        advice="" if enough else "all 48 records of mitdb need up to 4 GiB: close other programs",
    )
    free = shutil.disk_usage(_existing(settings.runs_dir)).free
    state = "bad" if free < 0.2 * _GIB else "note" if free < 2 * _GIB else "good"
    advice = (
        ""
        if state == "good"
        else "free some space, or use another disk: hydra.run.dir=… tracking.artifact_root=…"
    )
    yield Finding(
        what="disk",
        state=state,
        found=f"{free / _GIB:.1f} GiB free for {settings.runs_dir}",
        advice=advice,
    )


def check_devices(_: Settings) -> Iterator[Finding]:
    """Checks the devices that TensorFlow can use; imports TensorFlow, which takes seconds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    except Exception as error:  # noqa: BLE001 - a broken installation may raise any exception
        yield Finding(
            what="TensorFlow",
            state="bad",
            found=f"cannot be imported: {error}",
            advice=reinstall("tensorflow"),
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
        advice = f"{install_extra('gpu')} to get the CUDA libraries"
        yield Finding(
            what="GPU",
            state="note",
            found="the driver is installed, but TensorFlow finds no GPU",
            advice=advice,
        )
    else:
        yield Finding(what="GPU", state="good", found="none: runs use the CPU")


def check_data(settings: Settings) -> Iterator[Finding]:
    """Checks which databases are present, and whether their files are complete."""
    from ecgexp.data.datasets.catalog import Database, find_database, published_databases
    from ecgexp.data.datasets.recorded import all_records, find_folder
    from ecgexp.data.formats import csv_reader, wfdb_reader
    from ecgexp.data.preprocessing.settings import Layout

    absent = []
    layouts: list[tuple[Database, Layout]] = [
        (each, "wfdb") for each in published_databases().values()
    ]
    layouts.append((find_database("mitdb"), "kaggle_csv"))
    for database, layout in layouts:
        reader = csv_reader if layout == "kaggle_csv" else wfdb_reader
        name = f"{database.name}_csv" if layout == "kaggle_csv" else database.name
        try:
            folder = find_folder(settings.data_root, database, database.records, layout)
            records = [
                record
                for record in all_records(database, folder)
                if database.why_left_out(record) is None
            ]
        except DataError:
            absent.append(name)
            continue
        complete = [
            record
            for record in records
            if all(path.is_file() for path in reader.files_of(folder, record))
        ]
        lacking = len(complete) < len(records)
        yield Finding(
            what=name,
            state="note" if lacking and layout == "wfdb" else "good",
            found=f"{len(complete)} of {len(records)} records in {folder}",
            advice=f"fetch the rest: {database.fix}" if lacking and layout == "wfdb" else "",
        )
    if absent:
        fetch = (
            f"the default run needs none of them; use `{to_type('ecgexp-fetch NAME')}`, or set "
            "ECGEXP_DATA"
        )
        state = "note" if len(absent) == len(layouts) else "good"
        yield Finding(
            what="other data",
            state=state,
            found=f"{', '.join(absent)} not below {settings.data_root}",
            advice=fetch,
        )


def check_store(settings: Settings) -> Iterator[Finding]:
    """Checks whether the store can be written, lacks entries of ended runs, or has stale runs."""
    yield from _check_complete(settings)
    yield from _check_connection(settings)


def _check_complete(settings: Settings) -> Iterator[Finding]:
    from ecgexp.tracking.local.run_json import not_whole

    found, damaged = not_whole(settings.runs_dir)
    for error in damaged:
        what, _, advice = str(error).rpartition("; ")
        yield Finding(what="runs", state="note", found=what, advice=advice)
    if found:
        verb = "is" if len(found) == 1 else "are"
        names = ", ".join(str(folder) for folder in found[:3]) + (" …" if len(found) > 3 else "")
        is_default = settings.runs_dir == Path("outputs")
        where = [] if is_default else ["--runs-dir", str(settings.runs_dir)]
        yield Finding(
            what="runs",
            state="note",
            found=f"{len(found)} {verb} incomplete in MLflow: {names}",
            advice=f"send what is missing: `{to_type(['ecgexp-sync', *where])}`",
        )


def _check_connection(settings: Settings) -> Iterator[Finding]:
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
            advice="or use tracking=none",
        )
        return
    if not file.exists():
        yield Finding(
            what="MLflow store", state="good", found=f"none yet; the first run creates {file}"
        )
        return
    yield Finding(
        what="MLflow store",
        state="good",
        found=f"{file}, writable",
        advice=f"view it: `{to_type('ecgexp-ui')}`",
    )
    yield from _check_stale(f"sqlite:///{file}", close=settings.close_stale)


def _check_stale(store: str, *, close: bool) -> Iterator[Finding]:
    from ecgexp.tracking.mlflow.health import close_stale, find_stale
    from ecgexp.tracking.reasons import reason

    try:
        stale = (close_stale if close else find_stale)(store)
    except Exception as error:  # noqa: BLE001 - a store of another version may raise any error
        advice = "restore the store from a backup, or use another with --store"
        why = reason(error)
        yield Finding(what="runs", state="bad", found=f"cannot be listed: {why}", advice=advice)
        return
    names = ", ".join(f"{run.name} ({run.run_id[:8]})" for run in stale[:5]) + (
        " …" if len(stale) > 5 else ""
    )
    if not stale:
        yield Finding(what="runs", state="good", found="none is stale (RUNNING without a process)")
    elif close:
        yield Finding(what="runs", state="good", found=f"{len(stale)} marked as KILLED: {names}")
    else:
        advice = f"mark them as KILLED: `{to_type('ecgexp-doctor --close-stale')}`"
        yield Finding(
            what="runs",
            state="note",
            found=f"{len(stale)} are stored as RUNNING, but their process has ended: {names}",
            advice=advice,
        )


def _check_server(settings: Settings) -> Iterator[Finding]:
    from ecgexp.settings.redaction import redact
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.address import reach

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
