"""The tracker that writes a run to its own folder, in formats that need no special tool.

metrics.jsonl      one line per call: {"time": seconds since 1970, "step": 3, "metrics":
{"train/loss": 0.21}} run.json           run id, status, reason, parameters, tags, datasets, names
of the artifacts, and whether the store has
                   all entries (see `run_json`)
figures/…, …       the artifacts under their own paths
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import replacing, replacing_folder, resolved
from ecgexp.storage.reading import MissingFileError, cut_torn_line, read_lines, refusal
from ecgexp.tracking.base import DatasetInput, Scalar, Status
from ecgexp.tracking.checks import Points, check_params, check_path
from ecgexp.tracking.local.artifact_files import FileArtifacts, plain
from ecgexp.tracking.local.checkpoint_folder import remove_checkpoints
from ecgexp.tracking.local.run_json import NAME, Seconds, read_run, write_run
from ecgexp.tracking.params import loggable, taggable
from ecgexp.tracking.provenance import process_tags

_FIX = "remove the line, or restore the file from a copy"


class Entry(TypedDict):
    """A line of `metrics.jsonl`."""

    time: Seconds
    step: Annotated[int, Field(ge=0, le=10**12)] | None
    metrics: dict[str, float | None]


class JsonlTracker(FileArtifacts):
    """Stores a run in a folder. An existing folder is continued.

    Its points stay and are not written twice.

    Args:
      folder: the run folder; created if it is missing.
      run_id: id of the run in a store, noted so that the run can be resumed there.
      store_uri: address of that store; noted without its password, and as incomplete until
        `mark_whole`.
      has_ended: whether entries are added to a run that has ended: its status stays, and what its
        store lacks is sent by `tracking.ending.complete`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run_id: str | None = None,
        store_uri: str | None = None,
        has_ended: bool = False,
    ):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._metrics = folder / "metrics.jsonl"
        cut_torn_line(self._metrics)
        _check_no_folder(folder / "result.json")  # before training, not after it
        self._points = Points(
            (name, step) for step, metrics in read_metrics(self._metrics) for name in metrics
        )
        before = read_run(folder) if (folder / NAME).exists() else {}
        self._run: dict[str, Any] = {
            "params": {},
            "tags": {},
            "datasets": [],
            "artifacts": [],
            "store": None,
            "started": now(),  # of a resumed run, the time of its first start
            **before,
        }
        if not has_ended:
            self._run |= {
                "run_id": run_id or before.get("run_id"),
                "status": "RUNNING",
                "reason": None,
                "ended": None,
            }
            # From the start, so that a resumed run is not mistaken for one whose process died.
            self._run["tags"] |= process_tags()
        if store_uri is not None:
            self._run["store"] = {"uri": redact(store_uri)}
        self.mark_whole(False)

    @property
    def run_id(self) -> str | None:
        """The id of the run in its store."""
        return self._run["run_id"]

    @property
    def url_hint(self) -> str:
        """Where the run can be viewed."""
        return f"the run is in {self.folder}"

    def known_as(self, run_id: str | None) -> None:
        """Note the id of the run in its store."""
        self._run["run_id"] = run_id
        self._save()

    def forget(self) -> None:
        """Remove `run.json` of a run that did not begin, so that its folder is free again."""
        (self.folder / NAME).unlink(missing_ok=True)

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """See `Tracker.log_params`."""
        fresh, kept = plain(loggable(params)), self._run["params"]
        check_params(fresh, kept)
        kept.update(fresh)
        self._save()

    def log_metrics(
        self, metrics: Mapping[str, float], *, step: int | None = None, at: float | None = None
    ) -> None:
        """See `Tracker.log_metrics`; an undefined value is written as null."""
        fresh = self._points.check(metrics, step)
        if fresh:
            line = json.dumps(
                {"time": now() if at is None else at, "step": step, "metrics": fresh},
                allow_nan=False,
            )
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        self._points.keep(metrics, step)

    def points(self) -> set[tuple[str, int | None]]:
        """See `ReadableTracker.points`."""
        return {
            (name, step)
            for step, metrics in read_metrics(self._metrics)
            for name, value in metrics.items()
            if value is not None
        }

    def discard_points(self, *, after: int) -> None:
        """See `ReadableTracker.discard_points`; the file is replaced atomically if it has any."""
        entries = list(read_entries(self._metrics))
        left = [entry for entry in entries if entry["step"] is None or entry["step"] <= after]
        if len(left) < len(entries):
            with replacing(self._metrics) as part:
                part.write_text(
                    "".join(f"{json.dumps(entry)}\n" for entry in left), encoding="utf-8"
                )
        self._points.discard(after=after)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See `Tracker.set_tags`."""
        self._run["tags"].update(taggable(tags))
        self._save()

    def log_file(self, path: Path, folder: str = "") -> None:
        """See `Tracker.log_file`; a file that is already in place stays unchanged."""
        name = check_path(f"{folder}/{path.name}" if folder else path.name)
        target = self.folder / name
        if not _is_same(path, target):
            _check_no_folder(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as part:
                shutil.copyfile(path, part)
        if name not in self._run["artifacts"]:
            self._run["artifacts"].append(name)
            self._save()

    def log_dataset(self, dataset: DatasetInput) -> None:
        """See `Tracker.log_dataset`."""
        entry = plain(asdict(dataset))
        if entry not in self._run["datasets"]:
            self._run["datasets"].append(entry)
            self._save()

    def log_model(self, folder: Path) -> None:
        """See `Tracker.log_model`; the folder is copied to `model/` unless it is there."""
        target = self.folder / "model"
        if not _is_same(folder, target):
            with replacing_folder(target) as part:
                shutil.copytree(folder, part, dirs_exist_ok=True)

    def finish(self, status: Status, reason: str | None = None, *, at: float | None = None) -> None:
        """See `Tracker.finish`; the checkpoints of a finished run are removed at once."""
        if self._run["status"] == "RUNNING":
            self._run |= {
                "status": status,
                "reason": reason and redact(reason),
                "ended": now() if at is None else at,
            }
            self._save()
            if status == "FINISHED":
                remove_checkpoints(self.folder)

    def mark_whole(self, whole: bool = True) -> None:
        """Note whether the store has all entries of the run."""
        if self._run["store"] is not None:
            self._run["store"]["whole"] = whole
        self._save()

    def _save(self) -> None:
        write_run(self.folder, self._run)


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to one file.

    Unlike `Path.resolve`, also for a link to itself.
    """
    return resolved(path) == resolved(other)


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        raise refusal(path, "is a folder, but a file must be written there", fix="remove it")


def read_metrics(path: Path) -> Iterator[tuple[int | None, dict[str, float | None]]]:
    """Yield (step, metrics) of each complete line of `path`; an incomplete last line is left out.

    Args:
      path: a `metrics.jsonl`; a missing file has no lines.

    Yields:
      The step, None for the whole run, and metric -> value, None where undefined.

    Raises:
      DataError: the file cannot be read, or a complete line is damaged.
    """
    for entry in read_entries(path):
        yield entry["step"], entry["metrics"]


def read_entries(path: Path) -> list[Entry]:
    """Return the complete lines of `path`.

    Raises:
      DataError: the file cannot be read, or a complete line is damaged.
    """
    try:
        return read_lines(path, Entry, fix=_FIX)
    except MissingFileError:
        return []


def now() -> float:
    """Return the seconds since 1970, with the resolution that points have."""
    return round(time.time(), 3)  # MLflow counts in milliseconds
