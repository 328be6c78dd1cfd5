"""Show what is in recordings, before anything is trained: one page, in the terminal and as HTML.

Records, patients, leads, symbols and classes, which splits are possible, typical beats, and what is
wrong with a way to fix it. Damaged records are listed with their reasons. The exit code is 0 if
everything can be used as the settings say, 1 if something is wrong, and 2 if there is nothing to
inspect.
For a finished run (its folder, id, or latest) it shows the learning curve instead: the score on
validation patients against the number of training patients, of all runs that differ in this number
and the seed only, and the sweep that makes the curve if there are too few.
"""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ecgexp.cli.arguments import NEGATIVE, Parser, check_output, run_command
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError

if TYPE_CHECKING:
    from datetime import datetime

    from ecgexp.analysis.find_runs import StoredRun
    from ecgexp.analysis.inspection.facts import Inspection

_EXAMPLE = """\
ecgexp-inspect recordings --output recordings.html
ecgexp-inspect recordings 'dataset.leads=[II]' grouping=aami4 split=patient_kfold
ecgexp-inspect dataset=mitdb --json
ecgexp-inspect latest --output curve.html"""

_ID = re.compile(r"[0-9a-f]{6,32}")  # of a run in MLflow, or the beginning of one
_HEAD = 4096  # bytes within which a page of this command says what it is
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")  # a value of an override that needs no quotes


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0 if everything can be used, 1 if something is wrong, 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-inspect", lambda: _inspect(options))


def _inspect(options: argparse.Namespace) -> int:
    # Of TensorFlow, should a plug-in import it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imported here, because --help must be fast.
    from ecgexp.analysis.inspection.as_json import as_json
    from ecgexp.analysis.inspection.text import render
    from ecgexp.console import Console

    if options.output is not None:
        _check_output(options.output, overwrite=options.overwrite)
    if (run := _named_run(options)) is not None:
        return _patients_needed(run, options)
    found = _inspected(_overrides(options.data), options.config_dir)
    if options.json:
        print(json.dumps(as_json(found), ensure_ascii=False, allow_nan=False))
    else:
        console = Console()
        for part in render(found):
            console.print_result(part)
    if options.output is not None:
        from ecgexp.analysis.inspection import page

        _write(page.render(found, made=_now()), options.output)
    return 0 if found.is_usable else NEGATIVE


def _named_run(options: argparse.Namespace) -> "StoredRun | None":
    """Returns the run that the only argument names; None if it names data."""
    from ecgexp.cli.run_argument import named_run
    from ecgexp.tracking.local.run_json import NAME

    name = options.data[0]
    is_there, is_run = os.path.lexists(name), os.path.isfile(os.path.join(name, NAME))
    is_id = not is_there and (name == "latest" or _ID.fullmatch(name) is not None)
    if len(options.data) > 1 or not (is_run or is_id):
        return None
    return named_run(name, "RUN ", store=options.store)


def _patients_needed(run: "StoredRun", options: argparse.Namespace) -> int:
    """Shows the learning curve of a run."""
    from ecgexp.analysis.learning_curve import words
    from ecgexp.analysis.learning_curve.siblings import patients_needed
    from ecgexp.console import Console

    found = patients_needed(run, store=options.store)
    if options.json:
        print(json.dumps(words.as_json(found), ensure_ascii=False, allow_nan=False))
    else:
        console = Console()
        for part in words.render(found):
            console.print_result(part)
    if options.output is not None:
        from ecgexp.analysis.learning_curve import page

        _write(page.render(found, made=_now()), options.output)
    return 0


def _check_output(file: Path, *, overwrite: bool) -> None:
    """Raises DataError if the output exists and must not be replaced."""
    from ecgexp.analysis.inspection import MARK
    from ecgexp.storage.reading import MissingFileError, open_plain

    try:
        with open_plain(file, fix="use another --output") as there:
            head = there.read(_HEAD)
    except MissingFileError:
        return
    check_output(file, is_ours=lambda: MARK in head, kind="page", overwrite=overwrite)


def _now() -> "datetime":
    from datetime import datetime

    return datetime.now().astimezone()


def _write(page: str, file: Path) -> None:
    """Writes the page as HTML."""
    from ecgexp.storage.atomic import replacing

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            part.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"--output {file}: the page cannot be written: {error.strerror}; use another --output"
        ) from error


def _inspected(overrides: Sequence[str], config_dir: str | None) -> "Inspection":
    import shlex

    from ecgexp.analysis.inspection.inspect import inspect
    from ecgexp.config.data_settings import load_data_settings
    from ecgexp.config.untrusted_overrides import check_typed_once
    from ecgexp.console import Console

    check_typed_once(overrides)
    settings = load_data_settings(overrides, own=config_dir, base_dir=Path.cwd())
    with _without_warnings(), Console().progress_bar("records") as progress_bar:
        return inspect(settings, command=shlex.join(overrides), on_progress=progress_bar)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Do not log what the page says itself."""
    log = logging.getLogger("ecgexp")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _overrides(data: Sequence[str]) -> list[str]:
    """Return the overrides of the arguments: a path is `dataset=folder dataset.path=PATH`.

    A file of beats that are cut already is `dataset=arrays`; a CSV file can be either.
    """
    first, rest = data[0], list(data[1:])
    if "=" in first and not os.path.lexists(first):
        return [first, *rest]
    from ecgexp.data.formats.beat_file import SUFFIXES
    from ecgexp.data.formats.csv_layout import CsvLayout
    from ecgexp.data.formats.csv_signals_reader import is_recording

    path = Path(first)
    is_of_beats = (
        path.suffix.lower() in SUFFIXES and path.is_file() and not is_recording(path, CsvLayout())
    )
    dataset = "arrays" if is_of_beats else "folder"
    return [f"dataset={dataset}", f"dataset.path={quoted(first)}", *rest]


def quoted(text: str) -> str:
    """Returns a path as a value of an override, whatever characters it has."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-inspect", description=__doc__, example=_EXAMPLE)
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of records, one record, a RECORDS file, a glob pattern, or a file of beats "
        "that are cut already (.npz, .npy, .parquet, .csv); or settings that "
        "choose the data, as for ecgexp, which may also follow; or a finished run",
    )
    parser.add_argument(
        "--config-dir",
        metavar="FOLDER",
        help="your own folder of YAML files, as for ecgexp --config-dir",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; its keys are stable"
    )
    parser.add_store()
    parser.add_output(help="also write the page as HTML, with a figure of typical beats")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
