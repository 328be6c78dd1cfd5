"""One job of a sweep, in this process or in that of a launcher."""

import logging
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ecgexp.cli.streams import soften
from ecgexp.config.compose import (
    build_experiment,
    chosen_options,
    command_settings,
    for_the_record,
    notes,
    own_folder_of,
    to_yaml,
)
from ecgexp.config.untrusted_overrides import container
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.settings.declaration import (
    ConfigError,
    DataError,
    JobFailed,
    MachineError,
    OutOfTime,
    Pruned,
)
from ecgexp.settings.installation import to_type
from ecgexp.settings.redaction import redact
from ecgexp.storage.scratch import use_own_scratch
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.cores import share_cores
from ecgexp.sweeps.display import job_console
from ecgexp.sweeps.identity import command, job_name
from ecgexp.sweeps.invocation import Outcome, read_study
from ecgexp.sweeps.messages import collected
from ecgexp.sweeps.objectives import Objectives
from ecgexp.sweeps.search_settings import PRUNED, search_settings
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.base import TrackerUnavailable
from ecgexp.tracking.ending import complete
from ecgexp.tracking.local.checkpoint_folder import remove_checkpoints
from ecgexp.tracking.local.hydra_files import write_notes
from ecgexp.tracking.local.lock import discard_unheld, free_beside, hold, move_log
from ecgexp.tracking.local.result import Result, read_result
from ecgexp.tracking.local.run_json import NAME
from ecgexp.tracking.publishing import publishing_of
from ecgexp.training.checkpointing.manager import has_training_state

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment
    from ecgexp.sweeps.study import TrialOfJob

_log = logging.getLogger(__name__)


def run_job(config: DictConfig, run_dir: Path) -> float | tuple[float, ...] | str | None:
    """Runs one job, in this process or in that of a launcher.

    Args:
      config: the composed configuration.
      run_dir: folder that Hydra made for the job.

    Returns:
      The values of the objectives; `PRUNED` if the search ended the run early; None if the sweeper
      needs no value.

    Raises:
      JobFailed: the job did not finish; its attempt, run and log state the reason.
    """
    use_own_scratch()  # in a process of a launcher
    soften()  # a launcher's process has streams of its own
    hydra = HydraConfig.get()
    # If a sweep is resumed in its folder, the runs of earlier jobs are there.
    run_dir = free_beside(run_dir)
    move_log(run_dir)
    share_cores(hydra.launcher)
    number, overrides = int(hydra.job.num), list(hydra.overrides.task)
    name, sweep, job = " ".join(overrides), None, None
    try:
        sweep = Sweep.join(Path(hydra.sweep.dir))
        name, values = job_name(overrides, sweep.typed), for_the_record(config)
        job = _Job(
            config=config,
            sweep=sweep,
            number=number,
            name=name,
            digest=sweep.digest_of(values),
            values=values,
            experiment=build_experiment(config, base_dir=Path.cwd()),
        )
        with collected(sweep.invocation, number):
            return job.run(run_dir, container(hydra.sweeper, resolve=True))
    except OutOfTime as ended:  # as if the job had failed, so that the next one runs
        raise JobFailed(f"{name}: {ended}") from None
    except Exception as error:  # noqa: BLE001 - any error is recorded, and other jobs run
        if not isinstance(error, ConfigError | DataError | MachineError):
            logged = nullcontext() if sweep is None else collected(sweep.invocation, number)
            with logged:
                _log.exception("job %d: %s failed", number, name)
        why = redact(f"{name}: {error}")
        if sweep is None:  # else the main process shows it
            print(redact(f"ecgexp: job {number} ({name}): {error}"), file=sys.stderr)
        elif job is None or not job.has_begun:
            sweep.note(number, name, "", "refused", redact(str(error)))
            if isinstance(error, ConfigError | DataError):
                move_log(None)
                discard_unheld(run_dir)
        raise JobFailed(why) from None


@dataclass(kw_only=True)
class _Job:
    """A job of a sweep.

    Attributes:
      config: the composed configuration.
      sweep: the sweep.
      number: number of the job in this invocation.
      name: name of the job for users.
      digest: digest of the job.
      values: the resolved configuration.
      experiment: what it runs.
      has_begun: whether the sweep has noted its outcome; after that its attempt states what failed.
    """

    config: DictConfig
    sweep: Sweep
    number: int
    name: str
    digest: str
    values: Mapping[str, Any]
    experiment: "Experiment"
    has_begun: bool = False

    def run(
        self, run_dir: Path, sweeper: Mapping[str, Any]
    ) -> float | tuple[float, ...] | str | None:
        """Return the result of an earlier run of this job, or run it; see `run_job`."""
        objectives = Objectives(
            self.sweep.settings.objectives, sweeper, self.experiment.selection.metric
        )
        objectives.check(self.experiment.evaluated)
        trial = self._trial(sweeper, objectives)
        _complete_ended(self.sweep, self.digest)
        done = self._done(run_dir, prunes=trial is not None)
        if done is not None:
            self._note("kept")
            discard_unheld(run_dir)
            move_log(None)
            if trial is not None:
                trial.report_run(Path(done.run_dir))
            if done.status == "PRUNED":
                return PRUNED
            _log.info(
                "job %d: %s has finished already, in %s", self.number, self.name, done.run_dir
            )
            return objectives.of(done.metrics, {})
        self.experiment.check_can_start()
        # What cannot be resumed where it is tracked starts anew.
        is_readable = self.experiment.tracking.is_readable
        earlier = self.sweep.unfinished(self.digest) if is_readable else None
        steps = self.experiment.trainer.step_name
        self._note(
            "ran",
            begins=self.sweep.how_it_begins(self.name, self.digest, earlier, steps=steps),
        )
        try:
            result = self._train(run_dir, trial, earlier)
        except Pruned as pruned:
            _log.info("job %d: %s: %s", self.number, self.name, pruned)
            return PRUNED
        return objectives.of(result.metrics, result.undefined)

    def _note(self, outcome: Outcome, *, begins: str | None = None) -> None:
        self.sweep.note(self.number, self.name, self.digest, outcome, begins=begins)
        self.has_begun = True

    def _trial(self, sweeper: Mapping[str, Any], objectives: Objectives) -> "TrialOfJob | None":
        """Return the trial of this job; None unless a search may prune it."""
        search = search_settings(sweeper)
        if search is None or search.pruner == "none":
            return None
        from ecgexp.sweeps.study import TrialOfJob

        return TrialOfJob(
            search,
            self.sweep.home,
            read_study(self.sweep.invocation),
            self.number,
            objectives.of_each_epoch(),
        )

    def _done(self, run_dir: Path, *, prunes: bool) -> Attempt | None:
        """Return the attempt that makes this job unnecessary; None: it must run.

        Args:
          run_dir: folder that Hydra made for the job.
          prunes: whether the search prunes; else a run that was pruned before must run whole.
        """
        digests: list[str] = []

        def data_digest() -> str:
            if not digests:
                digests.append(_data_digest(self.experiment, run_dir))
            return digests[0]

        kept = self.sweep.kept(self.digest, data_digest)
        if kept is None and prunes:
            return self.sweep.pruned(self.digest, data_digest)
        return kept

    def _train(self, run_dir: Path, trial: "TrialOfJob | None", earlier: Attempt | None) -> Result:
        from ecgexp.experiment.deadline import Deadline
        from ecgexp.experiment.run import run

        command_line = command(
            list(HydraConfig.get().overrides.task), config_dir=own_folder_of(HydraConfig.get())
        )
        if earlier is not None:
            discard_unheld(run_dir)
            run_dir = Path(earlier.run_dir)
            if trial is not None:
                trial.report_run(run_dir)
        _close_replaced(self.sweep, self.digest, by=run_dir.absolute())
        attempt = Attempt(
            digest=self.digest,
            name=self.name,
            command=command_line,
            run_dir=str(run_dir.absolute()),
        )
        tags = {
            "command": command_line,
            "job.digest": self.digest,
            "sweep": self.sweep.home.name,
            **chosen_options(HydraConfig.get()),
        }
        if self.sweep.parent_id is not None:
            tags["mlflow.parentRunId"] = self.sweep.parent_id
        with (
            self.sweep.attempt(attempt) as running,
            hold(run_dir, new=earlier is None, setting="hydra.sweep.dir"),
        ):
            move_log(run_dir)
            if earlier is None:
                write_notes(run_dir, notes(self.config, HydraConfig.get()))
            try:
                result = run(
                    self.experiment,
                    run_dir,
                    config=self.values,
                    resolved_yaml=to_yaml(dict(self.values)),
                    name=self.name,
                    tags=tags,
                    console=job_console(),
                    deadline=Deadline(minutes=command_settings(self.config).max_minutes),
                    admit=running.admit,
                    continues=None if trial is None else trial.continues,
                    resume=earlier is not None,
                )
            except Pruned:  # it is not resumed
                remove_checkpoints(run_dir)
                raise
            running.finish(result)
        return result


def _complete_ended(sweep: Sweep, digest: str) -> None:
    """Completes earlier runs of that job that finished but were killed before they were complete.

    Their results are then used. A run that is locked or damaged, or whose store does not answer, is
    left to `ecgexp-sync`.
    """
    for attempt in sweep.attempts.ended(digest):
        folder = Path(attempt.run_dir)
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                sweep.adopt(attempt, read_result(folder))
                complete(folder)
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning(
                "%s could not be completed (%s); use %s",
                folder,
                redact(str(error)),
                to_type(["ecgexp-sync", str(folder)]),
            )


def _close_replaced(sweep: Sweep, digest: str, *, by: Path) -> None:
    """Closes earlier runs of that job that were killed before any training; `by` replaces them."""
    for attempt in sweep.attempts.replaced(digest):
        folder = Path(attempt.run_dir)
        if folder == by or not (folder / NAME).is_file():
            continue
        try:
            with hold(folder, new=False, setting="hydra.sweep.dir"):
                complete(folder)
                if not has_training_state(folder):
                    # A process that was killed while it wrote its first checkpoint leaves a part.
                    remove_checkpoints(folder)
        except (ConfigError, DataError, TrackerUnavailable, OSError) as error:
            _log.warning(
                "the run in %s, which %s replaces, could not be closed (%s); use %s",
                folder,
                by,
                redact(str(error)),
                to_type(["ecgexp-sync", str(folder)]),
            )


def _data_digest(experiment: "Experiment", run_dir: Path) -> str:
    """Returns the keyed digest of a job's beats, which identifies them among jobs of a sweep.

    Log lines and errors that may quote beats are withheld where the experiment withholds values.
    """
    publishing = publishing_of(run_dir, withholds=experiment.withholds)
    try:
        with publishing.logging():
            return DigestKey.of(experiment.tracking.private_dir()).digest(
                experiment.dataset.load().digest
            )
    except Exception as error:  # noqa: BLE001 - the message of any error may quote beats
        raise publishing.error(error) from None
