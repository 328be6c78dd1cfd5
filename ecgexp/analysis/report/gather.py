"""Select and read the runs of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecgexp.analysis.find_runs import PARENT_TAG, StoredRun, children_of, find_run, search_runs
from ecgexp.analysis.report.evaluation_counts import EvaluationCounts
from ecgexp.analysis.report.groups import Configuration, configurations
from ecgexp.analysis.report.losses import private_dir_of, together
from ecgexp.analysis.run_rows import Row, read_row
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
from ecgexp.storage.atomic import resolved
from ecgexp.storage.reading import MissingFileError
from ecgexp.sweeps.invocation import read_pointer
from ecgexp.tracking.debug_mark import DEBUG, meaningless
from ecgexp.tracking.evaluation_log import EvaluationLog, evaluations_of
from ecgexp.tracking.local.run_json import LEFT_OUT_TAG


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that is not in the tables.

    Attributes:
      name: its name in MLflow.
      run_id: its id in MLflow, or its folder.
      status: FAILED, KILLED, RUNNING, or `unreadable`.
      reason: why it is not.
      command: the command that runs it again; empty if it was not stored.
    """

    name: str
    run_id: str
    status: str
    reason: str
    command: str


@dataclass(frozen=True, kw_only=True)
class SelectedRuns:
    """Runs, and what they have in common.

    Attributes:
      title: title of the page.
      runs: without the parents of sweeps.
      parent: parent run of all of them; None for runs that were found otherwise.
      uri: their store; None: `default_uri()`.
      folder: the folder that contains their folders; None for runs of a store.
      damaged: runs of that folder that cannot be read.
      store: all runs of the store, if they were read; else None.
    """

    title: str
    runs: Sequence[StoredRun]
    parent: StoredRun | None = None
    uri: str | None = None
    folder: Path | None = None
    damaged: Sequence[Failure] = ()
    store: Sequence[StoredRun] | None = None


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The content of the page.

    Attributes:
      title: title of the page.
      configurations: of the finished runs.
      failures: all other runs.
      sweep: `command`, `overrides` and `privacy` of the parent run; empty without a parent run.
      together: combined privacy loss of all runs of the store on the same training population; see
        `losses.together`.
      evaluations: how often the test sets were evaluated in the store.
    """

    title: str
    configurations: Sequence[Configuration]
    failures: Sequence[Failure]
    sweep: Mapping[str, str]
    together: Sequence[str] = ()
    evaluations: EvaluationCounts = field(default_factory=lambda: EvaluationCounts(counted={}))

    @property
    def rows(self) -> list[Row]:
        """All finished runs."""
        return [row for configuration in self.configurations for row in configuration.rows]

    @property
    def databases(self) -> list[str]:
        """Names of the distinct databases."""
        return sorted({row.database for row in self.rows if row.database})

    @property
    def digests(self) -> dict[str, list[str]]:
        """Database -> the digests of its beats."""
        return {
            name: sorted({row.digest for row in self.rows if row.database == name})
            for name in self.databases
        }


def choose(
    *,
    parent: str | None = None,
    experiment: str | None = None,
    filter_string: str | None = None,
    uri: str | None = None,
) -> SelectedRuns:
    """Select the runs of the report.

    They are the runs of a sweep, one run, or those of an experiment or of a filter; by default
    those of the experiment of the newest run.

    Args:
      parent: the MLflow id of a sweep's parent run or of a single run, a folder that contains run
        folders, or the folder of a single run.
      experiment: name of an MLflow experiment.
      filter_string: in MLflow's search language.
      uri: the store; None: `default_uri()`.

    Returns:
      The runs, without the parents of sweeps.

    Raises:
      DataError: there are no such runs.
    """
    if parent is not None:
        return _named(parent, uri)
    if filter_string is not None:
        selected = SelectedRuns(
            title=f"runs with {filter_string}",
            runs=search_runs(filter_string=filter_string, uri=uri),
        )
    else:
        # Read once: the privacy loss of the store needs all of its runs too.
        store = search_runs(uri=uri)
        name = _newest_experiment(store) if experiment is None else experiment
        found = [run for run in store if run.experiment == name]
        # Without any, the search says whether the experiment exists.
        found = found or search_runs(experiment=name, uri=uri)
        selected = SelectedRuns(title=f"experiment {name}", runs=found, store=store)
    parents = {run.parent_id for run in selected.runs}
    runs = [
        run
        for run in selected.runs
        if run.run_id not in parents
        and run.tags.get("sweep.role") != "parent"
        and LEFT_OUT_TAG not in run.tags
    ]
    if not runs:
        raise DataError(
            f"{selected.title}: there is no run to report; use another selection of runs"
        )
    return replace(selected, runs=runs, uri=uri)


def gather(selected: SelectedRuns) -> Gathered:
    """Read the runs; unfinished runs and those with damaged files are listed as failures.

    Debug runs are listed there too; if there are no others, the title says what their scores mean.
    """
    rows, failures = [], list(selected.damaged)
    presets = sorted({run.tags[DEBUG] for run in selected.runs if DEBUG in run.tags})
    only_debug = bool(presets) and all(DEBUG in run.tags for run in selected.runs)
    for run in selected.runs:
        try:
            if DEBUG in run.tags and not only_debug:
                failures.append(_failure(run, "debug run", meaningless(run.tags[DEBUG])))
                continue
            if run.status == "FINISHED":
                rows.append(read_row(run))
                continue
            reason = _reason(run)
        except DataError as error:
            failures.append(_failure(run, "unreadable", str(error)))
        else:
            failures.append(_failure(run, run.status, reason))
    sweep = _sweep(None)
    if selected.parent is not None:
        try:
            sweep = _sweep(selected.parent)
        except DataError as error:
            failures.append(_failure(selected.parent, "unreadable", str(error)))
    return Gathered(
        title=(
            f"{selected.title} ({meaningless(','.join(presets))})" if only_debug else selected.title
        ),
        configurations=configurations(rows),
        failures=failures,
        sweep=sweep,
        together=together(
            selected.runs, uri=selected.uri, folder=selected.folder, store=selected.store
        ),
        evaluations=EvaluationCounts(counted=_counted(selected)),
    )


def _counted(selected: SelectedRuns) -> Mapping[str, int]:
    private_dir, _ = private_dir_of(uri=selected.uri, folder=selected.folder)
    try:
        return evaluations_of(EvaluationLog(private_dir).events())
    except DataError:  # each run knows how many there were at its own time
        return {}


def _named(name: str, uri: str | None) -> SelectedRuns:
    folder = Path(name)
    inner = (
        sorted((path.parent for path in folder.glob("*/run.json")), key=_by_number)
        if folder.is_dir()
        else []
    )
    if inner:
        runs, parent, damaged = {}, None, []
        for path in inner:
            try:
                runs[path] = find_run(str(path))
            except DataError as error:
                damaged.append(_damaged(path, error))
        try:
            parent = _parent_of(folder)
        except DataError as error:
            damaged.append(_damaged(folder, error))
        _check_runs_once(list(runs), list(runs.values()))
        return SelectedRuns(
            title=resolved(folder).name if parent is None else _name_of(parent),
            runs=list(runs.values()),
            parent=parent,
            folder=folder,
            damaged=damaged,
        )
    run = find_run(name, uri=uri)
    is_parent = run.tags.get("sweep.role") == "parent"
    # A folder that is no sweep's is a single run, and needs no store.
    runs = children_of(run, uri=uri) if is_parent or not folder.is_dir() else []
    if runs:
        return SelectedRuns(title=_name_of(run), runs=runs, parent=run, uri=uri)
    if is_parent:
        raise DataError(
            f"there is no run to report: no run has {run.name} ({run.run_id}) as its parent "
            f"(tag {PARENT_TAG}); use the folder of the sweep, or --experiment NAME"
        )
    return SelectedRuns(
        title=run.name, runs=[run], uri=uri, folder=folder if folder.is_dir() else None
    )


def _name_of(parent: StoredRun) -> str:
    """Return the name of a sweep; outside of MLflow, its overrides."""
    return parent.tags.get("mlflow.runName") or parent.tags.get("sweep.overrides") or parent.name


def _damaged(folder: Path, error: DataError) -> Failure:
    return Failure(
        name=folder.name, run_id=str(folder), status="unreadable", reason=str(error), command=""
    )


def _check_runs_once(folders: Sequence[Path], runs: Sequence[StoredRun]) -> None:
    """Check that no two folders hold the same run (a link or a copy), which would count twice.

    Raises:
      DataError: two do; the message names both folders.
    """
    first: dict[str, Path] = {}
    for folder, run in zip(folders, runs, strict=True):
        # Without MLflow a run is identified by its original folder, which a copy still names.
        known = (
            run.run_id
            if run.run_id != str(folder)
            else run.tags.get("run.dir", str(resolved(folder)))
        )
        if (other := first.setdefault(known, folder)) != folder:
            raise DataError(
                f"{other.name} and {folder.name} in {folder.parent} hold the same run; "
                "remove one of them"
            )


def _parent_of(folder: Path) -> StoredRun | None:
    """Return the parent run of the sweep that an invocation's folder names; None without one.

    Raises:
      DataError: the file that names it, or the parent run's folder, is damaged.
    """
    try:
        return find_run(str(Path(read_pointer(folder)["home"]) / "parent"))
    except MissingFileError:
        return None


def _newest_experiment(store: Sequence[StoredRun]) -> str:
    runs = sorted(store, key=lambda run: run.started)
    # Every run has the parameter `seed`, and no parent run of a sweep has it.
    named = [run.experiment for run in runs if "seed" in run.params]
    if not named:
        raise DataError(
            f"there is no run to report; use `{to_type('ecgexp')}` to start one, or --store "
            "URI for another store"
        )
    return named[-1]


def _sweep(parent: StoredRun | None) -> dict[str, str]:
    tags = parent.tags if parent else {}
    return {
        "command": tags.get("sweep.command") or tags.get("command", ""),
        "overrides": tags.get("sweep.overrides", ""),
        "privacy": parent.text("sweep_privacy.txt") if parent else "",
    }


def _reason(run: StoredRun) -> str:
    if run.status == "RUNNING":
        return "the run has not ended"
    stored = run.tags.get("status.reason") or run.result.get("reason")
    return stored or "no reason was stored"


def _failure(run: StoredRun, status: str, reason: str) -> Failure:
    command = run.tags.get("command", "")
    return Failure(name=run.name, run_id=run.run_id, status=status, reason=reason, command=command)


def _by_number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else -1, path.name)
