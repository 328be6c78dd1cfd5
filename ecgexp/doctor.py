"""`ecgexp-doctor`: what a run needs on this machine, whether it is there, and what to do where it is not."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecgexp import doctor_checks
from ecgexp.doctor_checks import Finding, Settings
from ecgexp.ui import DEFAULT_STORE

_MARKS = {"good": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]"}
_CHECKS:
            status.update(f"{says} …")
            findings += check(options)
    console.print(report(findings))
    bad = sum(finding.state == "bad" for finding in findings)
    console.print(f"[red]{bad} to mend before runs can work[/]" if bad else "Ready: `uv run ecgexp` will work here.")
    return 1 if bad else 0


def report(findings: Sequence[Finding]) -> Table:
    """The findings as a table, one row each."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for style in ("", "bold", "", "cyan"):
        table.add_column(style=style, overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.state], *map(escape, (finding.what, finding.found, finding.advice)))
    return table


def doctor_checks.check_versions(_: Settings) -> Iterator[Finding]:
    """Python and the packages: what is there in one line, what is missing in one each."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info[:2] == (3, 11)
    yield Finding(
        what="Python", state="good" if fits else "bad", found=python, advice="" if fits else f"needs 3.11: {_SYNC}"
    )
    found = {name: _version(name) for name in (*_ESSENTIAL, *_FOR_SOME)}
    yield Finding(what="packages", state="good", found=", ".join(f"{name} {at}" for name, at in found.items() if at))
    for name in (name for name, at in found.items() if at is None):
        users = _FOR_SOME.get(name)
        state, advice = ("note", f"only {users} need it: {_SYNC}") if users else ("bad", f"install it: {_SYNC}")
        yield Finding(what=name, state=state, found="not installed", advice=advice)


def doctor_checks.check_machine(settings: Settings) -> Iterator[Finding]:
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
    free = shutil.disk_usage(_existing(settings.outputs)).free
    state = "bad" if free < 0.2 * _GIB else "note" if free < 2 * _GIB else "good"
    advice = (
        ""
        if state == "good"
        else "free some room, or choose another disk with hydra.run.dir=… and tracking.artifact_root=…"
    )
    yield Finding(what="disk", state=state, found=f"{free / _GIB:.1f} GiB free for {settings.outputs}", advice=advice)


def doctor_checks.check_devices(_: Settings) -> Iterator[Finding]:
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
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
        yield Finding(what="GPU", state="good", found=", ".join(names), advice="used by device=auto and device=gpu")
    elif shutil.which("nvidia-smi"):
        advice = "`uv run --extra gpu ecgexp device=gpu` installs the CUDA libraries"
        yield Finding(what="GPU", state="note", found="the driver is here, but TensorFlow sees no GPU", advice=advice)
    else:
        yield Finding(what="GPU", state="good", found="none: runs use the CPU")


def doctor_checks.check_federated(_: Settings) -> Iterator[Finding]:
    """TensorFlow Federated's worker, looked for without importing the library."""
    found = util.find_spec("tensorflow_federated")
    if found is None or not found.submodule_search_locations:
        return
    worker = Path(found.submodule_search_locations[0]) / "data" / "worker_binary"
    again = "install it anew: `uv sync --reinstall-package tensorflow-federated`"
    if not worker.is_file():
        yield Finding(
            what="TFF's worker", state="note", found="its program is missing: no federated runs", advice=again
        )
    elif not os.access(worker, os.X_OK):
        yield Finding(what="TFF's worker", state="note", found="may not be executed", advice=f"chmod +x {worker}")
    else:
        size = worker.stat().st_size / 2**20
        yield Finding(what="TFF's worker", state="good", found=f"found and executable, {size:.0f} MiB")


def doctor_checks.check_data(settings: Settings) -> Iterator[Finding]:
    """Which databases are there, and whether all their files are."""
    from ecgexp.data import csv_reader, wfdb_reader
    from ecgexp.data.catalog import DATABASES, MITDB
    from ecgexp.data.dataset import find_folder

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
            record for record in database.records if all(path.is_file() for path in reader.files_of(folder, record))
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
            what="no data", state=state, found=f"{', '.join(absent)} not below {settings.data_root}", advice=fetch
        )


def doctor_checks.check_store(settings: Settings) -> Iterator[Finding]:
    """The MLflow store: can it be written, and does it show runs that nobody makes any more?"""
    from ecgexp.tracking.health import doctor_checks.check_sqlite, close_stale, find_stale
    from ecgexp.tracking.params import redact

    if not settings.store.startswith("sqlite:///"):
        yield from _doctor_checks.check_server(settings.store)
        return
    file = Path(settings.store.removeprefix("sqlite:///")).resolve()
    try:
        doctor_checks.check_sqlite(file)
    except ConfigError as error:
        yield Finding(what="MLflow store", state="bad", found=redact(str(error)), advice="or run with tracking=none")
        return
    if not file.exists():
        yield Finding(what="MLflow store", state="good", found=f"none yet; the first run makes {file}")
        return
    yield Finding(what="MLflow store", state="good", found=f"{file}, writable", advice="look at it: `uv run ecgexp-ui`")
    try:
        stale = (close_stale if settings.close_stale else find_stale)(f"sqlite:///{file}")
    except Exception as error:  # noqa: BLE001 - a store of another MLflow version breaks in its own way
        advice = "`uv run mlflow db upgrade sqlite:///…` after a backup, if it is of an older version"
        yield Finding(what="runs", state="bad", found=f"cannot be listed: {str(error).splitlines()[0]}", advice=advice)
        return
    names = ", ".join(f"{run.name} ({run.run_id[:8]})" for run in stale[:5]) + (" …" if len(stale) > 5 else "")
    if not stale:
        yield Finding(what="runs", state="good", found="none says RUNNING without its process")
    elif settings.close_stale:
        yield Finding(what="runs", state="good", found=f"{len(stale)} marked KILLED: {names}")
    else:
        advice = "mark them KILLED: `uv run ecgexp-doctor --close-stale`"
        yield Finding(
            what="runs",
            state="note",
            found=f"{len(stale)} say RUNNING, but their process is gone: {names}",
            advice=advice,
        )


_CHECKS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("reading versions", doctor_checks.check_versions),
    ("measuring the machine", doctor_checks.check_machine),
    ("asking TensorFlow for devices", doctor_checks.check_devices),
    ("looking for TFF's worker", doctor_checks.check_federated),
    ("looking for data", doctor_checks.check_data),
    ("opening the MLflow store", doctor_checks.check_store),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script: 0 if runs can work here, 1 if something essential is missing."""
    options = _parse(arguments)
    console = Console()
    findings: list[Finding] = []
    with console.status("") as status:
        for says, check in _CHECKS:
            status.update(f"{says} …")
            findings += check(options)
    console.print(report(findings))
    bad = sum(finding.state == "bad" for finding in findings)
    console.print(f"[red]{bad} to mend before runs can work[/]" if bad else "Ready: `uv run ecgexp` will work here.")
    return 1 if bad else 0


def report(findings: Sequence[Finding]) -> Table:
    """The findings as a table, one row each."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for style in ("", "bold", "", "cyan"):
        table.add_column(style=style, overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.state], *map(escape, (finding.what, finding.found, finding.advice)))
    return table


def _parse(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="ecgexp-doctor", description=__doc__)
    data, store = os.environ.get("ECGEXP_DATA", "data"), os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE)
    parser.add_argument(
        "--data-root", type=Path, default=Path(data), help="data.root= of the runs; ECGEXP_DATA, else data"
    )
    parser.add_argument(
        "--store", default=store, help=f"tracking.uri= of the runs; MLFLOW_TRACKING_URI, else {DEFAULT_STORE}"
    )
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where run directories go (%(default)s)")
    parser.add_argument(
        "--close-stale", action="store_true", help="mark runs KILLED that say RUNNING without their process"
    )
    return Settings(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
