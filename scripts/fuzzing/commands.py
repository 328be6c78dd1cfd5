"""The commands that read the files of `world`, in this process and without TensorFlow."""

import io
import logging
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from fuzzing.corpus import make_cases
from fuzzing.world import KEY, TYPED, cached_beats, plan

from ecgexp.analysis.comparison.tables import render
from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.report import gather, page
from ecgexp.cli import compare, resume, sync
from ecgexp.cli import report as report_main
from ecgexp.cli.doctor_checks import Settings, _check_complete
from ecgexp.cli.run_argument import named_folder
from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.preprocessing import cache
from ecgexp.inference.model import load_model
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.privacy.recorded_losses import Losses
from ecgexp.privacy.store_loss import store_privacy_loss
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.digests import FileDigests
from ecgexp.sweeps.closing import close, create_parent_run
from ecgexp.sweeps.invocation import read_study
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking import ending
from ecgexp.tracking.local import lock, result
from ecgexp.tracking.local.hydra_files import clean_multirun
from ecgexp.tracking.local.run_json import not_whole, read_run
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.mlflow import replay
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.tracking.settings import NoTracking
from ecgexp.training.checkpointing.manager import (
    CheckpointManager,
    CheckpointRule,
    check_journal,
    has_training_state,
)
from ecgexp.training.checkpointing.store import Checkpoints
from ecgexp.training.model_selection import ModelSelector, Selection


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that reads files.

    Attributes:
      name: name of the command.
      reads: patterns of the files that it reads, below the folder.
      run: runs it; raises an exception that the command prints as one line, or returns.
      share: fraction of the inputs, relative to other commands.
    """

    name: str
    reads: tuple[str, ...]
    run: Callable[[Path], object]
    share: float = 1.0


def _quiet(run: Callable[[], int]) -> None:
    """Runs the `main` of a command, whose output must not contain a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        run()
    if "Traceback" in err.getvalue() + out.getvalue():
        raise AssertionError(err.getvalue())
    for line in err.getvalue().splitlines():
        if not line.startswith("ecgexp"):
            raise AssertionError(f"not one line: {err.getvalue()}")


def _report(world: Path) -> None:
    gather.gather(gather.choose(parent=str(world / "outputs/sweep/monday")))


def _page(world: Path) -> None:
    from datetime import UTC, datetime

    found = gather.gather(gather.choose(parent=str(world / "outputs/sweep/monday")))
    page.render(found, made=datetime.now(UTC), public=False)


def _compare(world: Path) -> None:
    a, b = (find_run(str(world / "outputs" / name)) for name in ("run0", "run1"))
    found = compare.compare_runs(a, b, num_resamples=0)
    render(found)
    found.as_dict()


def _compare_main(world: Path) -> None:
    runs = [str(world / "outputs" / name) for name in ("run0", "run1")]
    _quiet(
        lambda: compare.main(
            [
                *runs,
                "--num-resamples",
                "0",
                "--overwrite",
                "--output",
                str(world / "comparison.json"),
            ]
        )
    )


def _predict(world: Path) -> None:
    load_model(find_run(str(world / "outputs/run0")))


def _resume(world: Path) -> None:
    folder = named_folder(str(world / "outputs/stopped"), "resume=")
    with lock.hold(folder, new=False, setting="resume"):
        check_journal(folder)
        JsonlTracker(folder, run_id=result.known_run_id(folder)).log_metrics(
            {"curve/train/loss": 1.0}, step=3
        )
        private = PrivateFolder(folder)
        private.add_metrics({"train/clipped": 0.5}, 2)
        private.add_values({"tags": {"more": "x"}})
        checkpoint_manager = CheckpointManager(
            folder, CheckpointRule(), data_digest=KEY, resumes=True
        )
        assert checkpoint_manager.training_state is not None  # noqa: S101
        checkpoint_manager.ledger(plan(), num_steps=2)
        checkpoint_manager.restore(ModelSelector(Selection(), is_private=True))


def _overrides(world: Path) -> None:
    resume.stored_config(world / "outputs/stopped", list(TYPED[-1:]))


def _start(world: Path) -> None:
    for name in ("run0", "stopped", "sweep/monday"):
        try:
            lock.check_free(world / "outputs" / name)
        except ConfigError:
            continue
        with lock.hold(world / "outputs" / name, new=True):
            pass


def _sweep(world: Path) -> None:
    clean_multirun(world / "outputs/sweep/monday")
    sweep = Sweep.join(world / "outputs/sweep/monday")
    read_study(sweep.invocation)
    for digest in ("0" * 64, "1" * 64):
        sweep.kept(digest, lambda: KEY)
        sweep.unfinished(digest)
    has_training_state(world / "outputs/stopped")
    parent = create_parent_run(sweep, NoTracking(), "ecgexp -m seed=1,2")
    closed = close(sweep, parent, interrupted=False)
    closed.table()


def _losses(world: Path) -> None:
    losses = Losses(world / "store.private")
    store_privacy_loss(losses.all(), unknown=losses.damaged)
    DigestKey.of(world / "store.private")


def _sync(world: Path) -> None:
    _quiet(lambda: sync.main(["--runs-dir", str(world / "outputs")]))


def _sync_ended(world: Path) -> None:
    not_whole(world / "outputs")
    list(
        _check_complete(
            Settings(data_root=world, store="", runs_dir=world / "outputs", close_stale=False)
        )
    )
    folder = world / "outputs/run0"
    ending._ended(folder)
    replay.read_entries(folder / "metrics.jsonl")
    read_run(folder)


def _cache(world: Path) -> None:
    cache.load_or_preprocess(world / "cache", KEY, cached_beats)
    FileDigests(world / "cache", world / "recordings").of([world / "recordings/notes.txt"])


def _output(world: Path) -> None:
    report_main._check_output(world / "report.html", public=False, overwrite=True)
    compare._check_output(world / "comparison.json", overwrite=True)


def _checkpoints(world: Path) -> None:
    Checkpoints(world / "outputs/stopped/checkpoints").newest()


def _records(case) -> Callable[[Path], None]:
    return lambda world: case.read(world / "recordings" / case.name.replace(" ", "-")) and None


def make_commands() -> tuple[Command, ...]:
    """Returns all commands."""
    run = (
        "run.json",
        "metrics.jsonl",
        "result.json",
        "data.json",
        "privacy.json",
        "privacy_statement.txt",
        "predictions/*",
        "tables/*",
        "model/*",
    )
    runs = tuple(f"outputs/run0/{name}" for name in run)
    jobs = tuple(f"outputs/sweep/monday/0/{name}" for name in run)
    parent = (
        "outputs/sweep/monday/sweep.json",
        "outputs/sweep/sweeps/*/parent/*",
        "outputs/sweep/sweeps/*/attempts/*.json",
        "outputs/sweep/monday/jobs/*",
        "outputs/sweep/monday/multirun.yaml",
        "store.private/losses/*",
    )
    unfinished = (
        "run.json",
        "metrics.jsonl",
        "privacy_journal.jsonl",
        "private/*",
        "checkpoints/*",
    )
    stopped = tuple(f"outputs/stopped/{name}" for name in unfinished)
    commands = [
        Command(name="ecgexp-report", reads=(*jobs, *parent), run=_report, share=1),
        Command(name="ecgexp-report (page)", reads=(*jobs, *parent), run=_page, share=0.1),
        Command(name="ecgexp-compare", reads=runs, run=_compare, share=2),
        Command(
            name="ecgexp-compare (main)",
            reads=(*runs, "comparison.json"),
            run=_compare_main,
            share=1,
        ),
        Command(
            name="ecgexp-predict (model)",
            reads=(*runs, "outputs/run0/model/*"),
            run=_predict,
            share=2,
        ),
        Command(name="resume=", reads=stopped, run=_resume, share=3),
        Command(
            name="resume= (configuration)",
            reads=("outputs/stopped/.hydra/*", stopped[0]),
            run=_overrides,
            share=0.2,
        ),
        Command(name="ecgexp (folder taken)", reads=(*runs, *stopped[:3], *parent[:1]), run=_start),
        Command(
            name="ecgexp -m",
            reads=(
                *parent,
                "outputs/sweep/monday/search.json",
                "outputs/sweep/monday/0/result.json",
                "store.private/*",
            ),
            run=_sweep,
        ),
        Command(
            name="record of a store",
            reads=("store.private/*", "store.private/losses/*"),
            run=_losses,
            share=0.5,
        ),
        Command(name="ecgexp-sync", reads=runs, run=_sync, share=0.7),
        Command(
            name="ecgexp-sync, ecgexp-doctor",
            reads=runs,
            run=_sync_ended,
        ),
        Command(name="cache", reads=("cache/*", "cache/arrays/*"), run=_cache, share=1.5),
        Command(name="--output", reads=("comparison.json", "report.html"), run=_output, share=0.5),
        Command(name="checkpoints", reads=("outputs/stopped/checkpoints/*",), run=_checkpoints),
    ]
    for case in make_cases():
        module = csv_reader if case.layout == "kaggle_csv" else wfdb_reader
        folder = case.name.replace(" ", "-")
        names = tuple(
            f"recordings/{folder}/{path.name}" for path in module.files_of(Path(), case.record_id)
        )
        commands.append(
            Command(name=f"recording {case.name}", reads=names, run=_records(case), share=0.3)
        )
    logging.disable(logging.CRITICAL)
    return tuple(commands)


EXPECTED = (ConfigError, DataError)
