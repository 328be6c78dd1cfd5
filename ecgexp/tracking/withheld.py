"""Outputs that a run with a privacy guarantee does not publish.

They are stored in `private/` of its folder only.

private/metrics.jsonl  one line per call, as in the run's own metrics.jsonl
private/values.json    tags and result keys that were withheld
private/error.txt      the message of the error that ended the run, with its traceback
private/ecgexp.log     log lines that may reveal training beats
private/…              figures, tables and files under the paths that they would have without a
guarantee
"""

import json
import logging
import os
import re
import shutil
import stat
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ecgexp.privacy import outputs
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import MissingFileError, cut_torn_line, read_json, refusal
from ecgexp.tracking.base import DatasetInput, ModelInput, Scalar, Status, Tracker
from ecgexp.tracking.checks import Points, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts, plain
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.local.tracker import now, read_entries, read_metrics

FOLDER = outputs.PRIVATE_FOLDER
_OWNER_ONLY, _OWNER_FOLDER = 0o600, 0o700
_WARNED_AT = re.compile(r"(ecgexp/[\w/]+\.py):\d+: ")
_WITH_HANDLERS_OF_THEIR_OWN = ("tensorflow", "absl")  # added at import, which may be within a run
_LINE = logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s")


class PrivateFolder(FileArtifacts):
    """`private/` of a run's folder; an existing one is continued.

    **Guarantees**: only the owner can enter its folders and read its files, whatever the umask
    (`tests/unit/tracking/test_withholding.py`).

    Args:
      run_dir: the run's folder; `private/` is created with the first entry.
    """

    def __init__(self, run_dir: Path):
        self.path = run_dir / FOLDER
        self._metrics = self.path / "metrics.jsonl"
        for name in ("metrics.jsonl", "values.json", "error.txt", "ecgexp.log"):
            _check_plain(self.path / name)  # before training, not after it
        cut_torn_line(self._metrics)
        self._known_values()
        self._points = Points(
            (name, step) for step, metrics in read_metrics(self._metrics) for name in metrics
        )

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of the file `path`, under its own name, in `folder`."""
        target = self._made(check_path(f"{folder}/{path.name}" if folder else path.name))
        with _opened(target, os.O_TRUNC) as file, path.open("rb") as source:
            shutil.copyfileobj(source, file)

    def add_metrics(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Append a line to `metrics.jsonl`; points of an earlier session are skipped."""
        fresh = self._points.check(metrics, step)
        if fresh:
            line = json.dumps({"time": now(), "step": step, "metrics": fresh}, allow_nan=False)
            self.append("metrics.jsonl", line + "\n")
        self._points.keep(metrics, step)

    def discard_points(self, *, after: int) -> None:
        """See `Tracker.discard_points`."""
        entries = list(read_entries(self._metrics))
        left = [entry for entry in entries if entry["step"] is None or entry["step"] <= after]
        if len(left) < len(entries):
            with _replaced(self._metrics) as part:
                part.write_text(
                    "".join(f"{json.dumps(entry)}\n" for entry in left), encoding="utf-8"
                )
        self._points.discard(after=after)

    def add_values(self, values: Mapping[str, Any]) -> None:
        """Add to `values.json`; nested mappings are merged."""
        target = self._made("values.json")
        merged = _merged(self._known_values(), plain(values))
        with _replaced(target) as part:  # an incomplete file would be refused on resume
            part.write_text(json.dumps(merged, indent=2, ensure_ascii=False), encoding="utf-8")

    def _known_values(self) -> dict[str, Any]:
        """Return the content of `values.json`.

        Raises:
          DataError: the file is damaged.
        """
        try:
            fix = "restore the file from a copy, or remove it, which loses its content"
            return read_json(self.path / "values.json", dict[str, Any], fix=fix)
        except MissingFileError:
            return {}

    def append(self, path: str, text: str) -> None:
        """Append text to a file."""
        with _opened(self._made(path), os.O_APPEND) as file:
            file.write(text.encode("utf-8", "replace"))

    def _made(self, path: str) -> Path:
        target = self.path / path
        for folder in [*reversed(target.relative_to(self.path).parents)]:
            (self.path / folder).mkdir(mode=_OWNER_FOLDER, exist_ok=True)
            (self.path / folder).chmod(_OWNER_FOLDER)
        return target


class WithholdingTracker:
    """Passes the outputs that may be published to a tracker, and writes the others to `private/`.

    **Guarantees**: no metric, tag, parameter, file or class count reaches `tracker` unless
    `privacy.outputs.TABLE` lists it as published; an output that the table lacks is withheld.
    Metrics of a step have the time at which the run began, because the time of an epoch reveals how
    many beats were drawn (`tests/unit/tracking/test_withholding.py`).

    Args:
      tracker: receives the published outputs.
      private: receives the withheld outputs.
    """

    def __init__(self, tracker: Tracker, private: PrivateFolder):
        self._tracker, self._private = tracker, private
        self._began = now()

    @property
    def run_id(self) -> str | None:
        """See `Tracker.run_id`."""
        return self._tracker.run_id

    @property
    def url_hint(self) -> str:
        """See `Tracker.url_hint`."""
        return self._tracker.url_hint

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        published, withheld = _divided("parameter", params)
        self._tracker.log_params(published)
        if withheld:
            self._private.add_values({"params": withheld})

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`."""
        published, withheld = outputs.divide_metrics(metrics)
        self._private.add_metrics(withheld, step)
        if published:
            self._tracker.log_metrics(published, step=step, at=at if step is None else self._began)

    def discard_points(self, *, after: int) -> None:
        """See `Tracker.discard_points`."""
        self._tracker.discard_points(after=after)
        self._private.discard_points(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        published, withheld = _divided("tag", tags)
        self._tracker.set_tags(published)
        if withheld:
            self._private.add_values({"tags": withheld})

    def log_figure(self, figure: Any, path: str) -> None:
        """See `Tracker.log_figure`."""
        self._at(path).log_figure(figure, path)

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`."""
        self._at(f"{folder}/{path.name}" if folder else path.name).log_file(path, folder)

    def log_text(self, text: str, path: str) -> None:
        """See `Tracker.log_text`."""
        self._at(path).log_text(text, path)

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """See `Tracker.log_dict`.

        Where the keys of a file are listed one by one, only the published ones.
        """
        entry = outputs.find("file", path)
        if entry is not None and entry.keys is not None:
            values, withheld = outputs.divide(values, under=entry.keys)
            self._private.log_dict(withheld, path)
        self._at(path).log_dict(values, path)

    def log_table(self, table: Any, path: str) -> None:
        """See `Tracker.log_table`."""
        self._at(path).log_table(table, path)

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`; without counts of training beats."""
        holdout = {name: counts for name, counts in dataset.counts.items() if name != "train"}
        self._tracker.log_dataset(replace(dataset, counts=holdout))
        self._private.add_values({"dataset": asdict(dataset)})

    def log_model(self, folder: Path, *, input_example: ModelInput) -> None:
        """See `Tracker.log_model`.

        `models.classifier.save_classifier` writes only what the table lists.
        """
        self._tracker.log_model(folder, input_example=input_example)

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`.

        `Withholding.error` has replaced a reason that may not be published.
        """
        self._tracker.finish(status, reason, at=at)

    def _at(self, path: str) -> Any:
        return self._tracker if outputs.is_published("file", path) else self._private


class Publishing:
    """Publishes all outputs of a run unchanged; `Withholding` is the alternative."""

    withholds = False

    def tracker(self, tracker: Tracker) -> Tracker:
        """Return the tracker that the run uses."""
        return tracker

    def result(self, result: Result) -> Result:
        """Return the result as it is published."""
        return result

    def error(self, error: BaseException) -> BaseException:
        """Return the error as it is published."""
        return error

    def tells(self, name: str) -> bool:
        """Return whether the console shows the line of that name."""
        return True

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Leave the log unchanged within the block."""
        yield


class Withholding(Publishing):
    """Divides the outputs of a run with a privacy guarantee: published, or written to `private/`.

    Args:
      run_dir: the run's folder.
    """

    withholds = True

    def __init__(self, run_dir: Path):
        self._private = PrivateFolder(run_dir)

    def tracker(self, tracker: Tracker) -> Tracker:
        """See `WithholdingTracker`."""
        return WithholdingTracker(tracker, self._private)

    def result(self, result: Result) -> Result:
        """Return the published part of the result.

        The withheld part is written to `private/values.json`.
        """
        published, withheld = outputs.divide(
            {item.name: getattr(result, item.name) for item in fields(result)}
        )
        self._private.add_values(withheld)
        return Result(**published)

    def error(self, error: BaseException) -> BaseException:
        """Return the error if its message may be published.

        Else one of the same type that says where it is.

        The message and the traceback are written to `private/error.txt`.
        """
        where = f"{_raised_in(error)}:{type(error).__name__}"
        if not isinstance(error, Exception) or outputs.is_published("error", where):
            return error
        with suppress(OSError):  # a full disk; the published message reports it
            self._private.append(
                "error.txt", redact("".join(traceback.format_exception(error))) + "\n"
            )
        if isinstance(error, OSError):  # the name of the file may be that of a record
            return type(error)(error.errno, error.strerror)
        file = self._private.path / "error.txt"
        text = f"the message of the error may quote training beats; read it in {file}"
        try:
            return type(error)(text)
        except TypeError:
            return RuntimeError(text)

    def tells(self, name: str) -> bool:
        """See `Publishing.tells`; schedulers and terminals store what is printed."""
        return outputs.is_published("console line", name)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Write log lines that may reveal training beats to `private/ecgexp.log` only."""
        loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
        handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
        collector = _Collector(self._private)
        for handler in handlers:
            handler.addFilter(_is_public)
        logging.getLogger().addHandler(collector)
        late = [logging.getLogger(name) for name in _WITH_HANDLERS_OF_THEIR_OWN]
        for logger in late:
            logger.addFilter(collector.instead)
        try:
            yield
        finally:
            for logger in late:
                logger.removeFilter(collector.instead)
            logging.getLogger().removeHandler(collector)
            for handler in handlers:
                handler.removeFilter(_is_public)


def publishing_of(run_dir: Path, *, withholds: bool) -> Publishing:
    """Return how a run in `run_dir` publishes its outputs; see `Experiment.withholds`."""
    return Withholding(run_dir) if withholds else Publishing()


class _Collector(logging.Handler):
    """Writes the log records that other handlers must not receive."""

    def __init__(self, private: PrivateFolder):
        super().__init__(logging.WARNING)
        self._private = private

    def instead(self, record: logging.LogRecord) -> bool:
        """Filter a logger.

        A withheld record is written here and reaches no handler, whenever that was added.
        """
        if not _is_public(record) and record.levelno >= self.level:
            self.emit(record)
        return _is_public(record)

    def emit(self, record: logging.LogRecord) -> None:
        if not _is_public(record):
            with suppress(OSError):
                self._private.append("ecgexp.log", redact(_LINE.format(record)) + "\n")


def _is_public(record: logging.LogRecord) -> bool:
    name = record.name
    if name == "py.warnings":  # the name is extended by the file that warns
        found = _WARNED_AT.search(record.getMessage().partition("\n")[0])
        name = f"{name}/{found[1]}" if found else name
    return outputs.is_published("log line", name)


def _raised_in(error: BaseException) -> str:
    """Return the innermost module that raised the error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_globals.get("__name__", "") if frames else ""


def _divided(
    kind: outputs.Kind, values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    published = {name: value for name, value in values.items() if outputs.is_published(kind, name)}
    return published, {name: value for name, value in values.items() if name not in published}


def _check_plain(path: Path) -> None:
    """Check that `path` is not a link, which leads elsewhere, or a pipe, which would block.

    Raises:
      DataError: it exists and is not a regular file.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise refusal(
            path, "is not a regular file", fix="remove it, or restore the file from a copy"
        )


@contextmanager
def _opened(path: Path, how: int) -> Iterator[Any]:
    """Open a file for writing that only its owner can read, and that is not a link."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, _OWNER_ONLY)
        yield file


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a file that replaces `path` atomically, and that only its owner can read."""
    with replacing(path) as part:
        part.chmod(_OWNER_ONLY)  # while it is empty
        yield part


def _merged(known: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(known[key], value)
        for key, value in more.items()
        if isinstance(value, dict) and isinstance(known.get(key), dict)
    }
    return {**known, **more, **both}
