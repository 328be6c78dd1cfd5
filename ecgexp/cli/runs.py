"""List the runs of the MLflow store and below outputs/, newest first.

Scores are those of the test beats, or of the validation beats if no listed run was tested. A run is
named to other commands by the id in the first column, by its folder, or by the word latest.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.analysis.run_list import HEADLINES, SPLITS
from ecgexp.analysis.run_values import as_json
from ecgexp.cli.arguments import Parser, run_command, whole
from ecgexp.cli.streams import command
from ecgexp.formatting import NO_VALUE, age_text, epsilon_text, score_text
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type
from ecgexp.settings.paths import DEFAULT_RUNS_DIR, SQLITE
from ecgexp.settings.redaction import redact

if TYPE_CHECKING:
    from rich.table import Table

    from ecgexp.analysis.run_list import ListedRun
    from ecgexp.console import Stream

_EXAMPLE = """\
ecgexp-runs
ecgexp-runs --trainer dp --dataset mitdb --sort macro_f1 --number 10
ecgexp-runs --status failed --json"""
_FILTERS = ("status", "trainer", "dataset", "model", "experiment", "sweep")
_IN_COLUMNS = ("seed=", "trainer=", "dataset=", "model=")
_BETWEEN, _NARROWEST = 2, 12  # between columns; a column of names
_STATUSES = ("finished", "failed", "killed", "running")
_E_G = {"trainer": "dp", "dataset": "mitdb", "model": "cnn1d_small"}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    return run_command("ecgexp-runs", lambda: _list(options))


def _list(options: argparse.Namespace) -> int:
    from ecgexp.analysis.run_list import list_runs

    _check_named(options)
    listed = list_runs(runs_dir=options.runs_dir, uri=options.store)
    for problem in listed.problems:
        print(redact(f"ecgexp-runs: {problem}"), file=sys.stderr)
    chosen = [run for run in listed.runs if _matches(run, options, listed.parents)]
    split = options.split or _tested(chosen)
    chosen = _sorted(chosen, options.sort, split, reverse=options.reverse)[: options.number]
    if options.json:
        for run in chosen:
            print(json.dumps(as_json(run), ensure_ascii=False, allow_nan=False))
    elif chosen:
        from ecgexp.console import Console

        ids = [run.run_id for run in (*listed.runs, *listed.parents) if run.run_id]
        console = Console()
        has_jobs = any(run.sweep for run in chosen)
        room = _room_beside(table(chosen, split, ids), console.results) if has_jobs else 0
        console.print_result(table(chosen, split, ids, room=room))
        if trials := sum(bool(run.debug) for run in chosen):
            console.print(
                f"note: {trials} of {len(chosen)} runs have debug=: their scores mean nothing and "
                "are not shown"
            )
    if not chosen and not (listed.problems and not listed.runs):
        print(f"ecgexp-runs: {_why_none(listed.runs, options)}", file=sys.stderr)
    return 0


def _check_named(options: argparse.Namespace) -> None:
    """Checks that a folder or a store file that was named is there.

    Raises:
      DataError: it is not.
    """
    if options.runs_dir is not None and not options.runs_dir.is_dir():
        raise DataError(
            f"--runs-dir {options.runs_dir}: there is no such folder; use the folder that has the "
            "folders of runs, e.g. --runs-dir outputs"
        )
    if options.store is not None and options.store.startswith(SQLITE):
        file = Path(options.store.removeprefix(SQLITE))
        if not file.is_file():
            raise DataError(
                f"--store {options.store}: {file} does not exist; use --store "
                "sqlite:///FOLDER/mlflow.db"
            )


def table(runs: Sequence["ListedRun"], split: str, ids: Sequence[str], *, room: int = 0) -> "Table":
    """Returns the runs as a table, one row each.

    Args:
      runs: in the order of the rows.
      split: the split whose scores are shown.
      ids: ids of all runs of the store, so that a shortened one is not that of another run.
      room: width of a column with the names of jobs, which have what their sweep varies; if it is
        too narrow for names, there is no such column.
    """
    from rich.markup import escape
    from rich.table import Table

    from ecgexp.analysis.run_names import short_ids

    now, short = time.time(), short_ids(ids)
    found = Table(box=None, pad_edge=False, padding=(0, _BETWEEN, 0, 0), header_style="bold")
    found.add_column("run", style="cyan", overflow="fold", no_wrap=False)
    for heading in ("status", "age", "trainer", "dataset", "model"):
        found.add_column(heading, overflow="fold")
    for heading in ("seed", "ε", f"{split} accuracy", "macro F1", "jk index"):
        found.add_column(heading, justify="right")
    in_sweep = any(run.sweep for run in runs)
    if in_sweep:
        found.add_column("sweep", style="dim")
    has_jobs = in_sweep and room >= _NARROWEST
    if has_jobs:
        found.add_column("job", style="dim", no_wrap=True, overflow="ellipsis", max_width=room)
    for run in runs:
        scores = _scores(run, split)
        cells = [
            short[run.run_id] if run.run_id else str(run.folder),
            run.status.lower() + _elsewhere(run) + (f", debug={run.debug}" if run.debug else ""),
            age_text(now - run.started) if run.started else "",
            run.trainer,
            run.dataset,
            run.model,
            run.params.get("seed", ""),
            _epsilon(run),
            *(score_text(scores.get(name)) for name in HEADLINES),
            *([run.sweep[:8]] if in_sweep else []),
            *([_job(run)] if has_jobs else []),
        ]
        found.add_row(*map(escape, cells))
    return found


def _room_beside(found: "Table", stream: "Stream") -> int:
    """Returns how wide one more column may be, so that no line of the stream is wrapped."""
    from rich.measure import Measurement

    unlimited = stream.options.update(max_width=sys.maxsize)
    return stream.width - Measurement.get(stream, unlimited, found).maximum - _BETWEEN


def _job(run: "ListedRun") -> str:
    """Returns what a sweep varies in its job, without what has a column of its own."""
    words = run.name.split() if run.sweep else []
    return " ".join(word for word in words if not word.startswith(_IN_COLUMNS))


def _elsewhere(run: "ListedRun") -> str:
    """Returns where a run is said to run, if this machine cannot tell whether it does."""
    unknown = run.status == "RUNNING" and run.host != platform.node()
    return f" on {run.host or 'another machine'}?" if unknown else ""


def _epsilon(run: "ListedRun") -> str:
    if run.epsilon is None:
        return NO_VALUE if not run.unit else f"{NO_VALUE} {run.unit}"
    simulated = " (simulation)" if run.guarantee == "simulation" else ""
    return f"{epsilon_text(run.epsilon)} {run.unit}{simulated}".rstrip()


def _matches(run: "ListedRun", options: argparse.Namespace, parents: Sequence["ListedRun"]) -> bool:
    wanted = {name: getattr(options, name) for name in _FILTERS if getattr(options, name)}
    sweep = wanted.pop("sweep", None)
    if sweep is not None and not _is_of_sweep(run, sweep, parents):
        return False
    return all(_text(run, name) == value.lower() for name, value in wanted.items())


def _is_of_sweep(run: "ListedRun", name: str, parents: Sequence["ListedRun"]) -> bool:
    """Returns whether a run is a job of that sweep.

    A sweep is named by its digest, the id or name of its parent run, or an invocation's folder.
    """
    if not run.sweep:
        return False
    parent = next((one for one in parents if one.run_id and one.run_id == run.parent_id), None)
    folder = run.folder and run.folder.parent
    return (
        run.sweep.startswith(name)
        or (run.parent_id or "").startswith(name)
        or (parent is not None and parent.name == name)
        or (folder is not None and name.rstrip("/") in (folder.name, str(folder)))
    )


def _scores(run: "ListedRun", split: str) -> Mapping[str, float]:
    """Returns the scores of a run that mean something."""
    return {} if run.debug else run.scores.get(split, {})


def _tested(runs: Sequence["ListedRun"]) -> str:
    return next((split for split in SPLITS if any(_scores(run, split) for run in runs)), SPLITS[0])


def _sorted(
    runs: Sequence["ListedRun"], name: str, split: str, *, reverse: bool
) -> list["ListedRun"]:
    """Returns the runs in the order of `--sort`; those without a value come last."""
    values = [(_SORTS[name](run, split), run) for run in runs]
    known = sorted(
        (pair for pair in values if pair[0] is not None), key=lambda pair: pair[0], reverse=reverse
    )
    return [run for _, run in known] + [run for value, run in values if value is None]


def _why_none(runs: Sequence["ListedRun"], options: argparse.Namespace) -> str:
    if not runs:
        return (
            f"there are no runs; use `{to_type('ecgexp')}` to start one, or --store or --runs-dir "
            "if they are elsewhere"
        )
    given = {name: getattr(options, name) for name in _FILTERS if getattr(options, name)}
    shown = " ".join(f"--{name} {value}" for name, value in given.items())
    known = [
        f"{name}: {', '.join(values)}"
        for name in given
        if (values := sorted({_text(run, name) for run in runs} - {""}))
    ]
    return f"{shown}: none of {len(runs)} runs matches; known values: {'; '.join(known)}"


def _text(run: "ListedRun", name: str) -> str:
    return str(getattr(run, name)).lower()


def _by_score(name: str) -> Callable[["ListedRun", str], float | None]:
    def value(run: "ListedRun", split: str) -> float | None:
        found = _scores(run, split).get(name)
        return None if found is None else -found

    return value


def _by_text(name: str) -> Callable[["ListedRun", str], str | None]:
    return lambda run, split: _text(run, name) or None


_SORTS: dict[str, Callable[["ListedRun", str], Any]] = {
    "started": lambda run, split: -run.started or None,
    "seconds": lambda run, split: run.seconds,
    "epsilon": lambda run, split: run.epsilon,
    **{name: _by_score(name) for name in HEADLINES},
    **{name: _by_text(name) for name in ("status", "trainer", "dataset", "model", "name")},
}
"""Key of `--sort` -> the value that runs are sorted by, ascending."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-runs", description=__doc__, example=_EXAMPLE)
    add = parser.add_argument
    add("--status", choices=_STATUSES, help="only runs with this status")
    for name in ("trainer", "dataset", "model"):
        add(f"--{name}", metavar="OPTION", help=f"only runs with this {name}, e.g. {_E_G[name]}")
    add("--experiment", metavar="NAME", help="only runs of this MLflow experiment")
    add(
        "--sweep",
        metavar="NAME",
        help="only jobs of this sweep: its folder, or the id or name of its parent run",
    )
    add(
        "--sort",
        choices=tuple(_SORTS),
        default="started",
        help="best or newest first (%(default)s)",
    )
    add("--reverse", action="store_true", help="in the opposite order")
    add("--number", type=whole(1, 10**6), metavar="N", help="only the first N runs")
    add("--split", choices=SPLITS, help="the beats of the scores (test, if any run was tested)")
    add("--json", action="store_true", help="print one JSON object per line; its keys are stable")
    add(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        help=f"folder that is searched for runs ({DEFAULT_RUNS_DIR}; with --store alone: none)",
    )
    parser.add_store()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
