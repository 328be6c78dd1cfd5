"""Everything that a run does before it exists in a store: data, privacy plan and model.

A configuration that proves unusable here leaves no run behind.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ecgexp.console import Console
from ecgexp.data.populations import training_population_of
from ecgexp.experiment import class_coverage
from ecgexp.experiment.data import RunData
from ecgexp.experiment.experiment import Experiment
from ecgexp.experiment.notes import Messages
from ecgexp.experiment.plugin_parts import check_plan_of_plugin, plugin_notes
from ecgexp.experiment.quality import training_notes
from ecgexp.experiment.teacher import teacher_notes
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.privacy.ledger import Ledger
from ecgexp.seeding import Seeds
from ecgexp.tracking.evaluation_log import EvaluationLog
from ecgexp.tracking.publishing import Publishing
from ecgexp.training.checkpointing.manager import CheckpointManager
from ecgexp.training.ledger_checks import check_budget_sufficed


@dataclass(frozen=True, kw_only=True)
class RunSetup:
    """What a run has before its first training step.

    Attributes:
      run_data: its data, with a keyed digest.
      training_population: identifiers of the patients on whose beats it may be trained.
      training_loop: its model and its ledger.
    """

    run_data: RunData
    training_population: frozenset[str]
    training_loop: TrainingLoop


def set_up(
    experiment: Experiment,
    run_dir: Path,
    console: Console,
    publishing: Publishing,
    messages: Messages,
    *,
    resume: bool,
) -> RunSetup:
    """Load the data, make the privacy plan, and only then import TensorFlow and build the model.

    Args:
      experiment: the parts of the run.
      run_dir: folder of the run.
      console: shows progress.
      publishing: decides what may be published.
      messages: receives the notes on the data.
      resume: whether an unfinished run is resumed.

    Returns:
      The setup.

    Raises:
      ConfigError: the data do not support the configuration: the splits lack beats, no noise
        attains the target ε, the batch exceeds the training set, or the privacy budget does not
        suffice for one step.
      DataError: the data are damaged.
    """
    if "test" in experiment.evaluated:
        EvaluationLog(experiment.tracking.private_dir()).check()
    for line in experiment.notices():
        messages.print("marks", line)
    seeds, key = Seeds(experiment.seed), DigestKey.of(experiment.tracking.private_dir())
    run_data = load_data(experiment, seeds, console, withholds=publishing.withholds)
    training_population, run_data = (
        training_population_of(run_data.beats, key),
        _keyed(run_data, key),
    )
    checkpoint_manager = CheckpointManager(
        run_dir, experiment.checkpoints, data_digest=run_data.beats.digest, resumes=resume
    )
    ledger = planned_ledger(experiment, run_data, checkpoint_manager)
    messages.add(plugin_notes(experiment))
    messages.add({"quality": training_notes(run_data)})
    messages.add(teacher_notes(run_data))
    messages.add(class_coverage.notes_before_training(experiment, run_data))
    training_loop = TrainingLoop(
        experiment, run_data, seeds, ledger, checkpoint_manager=checkpoint_manager
    )
    return RunSetup(
        run_data=run_data, training_population=training_population, training_loop=training_loop
    )


def load_data(
    experiment: Experiment, seeds: Seeds, console: Console, *, withholds: bool
) -> RunData:
    """Load the data with a progress bar.

    Args:
      experiment: the parts of the run.
      seeds: its random streams.
      console: shows progress.
      withholds: whether the names of records are withheld.

    Returns:
      The data.

    Raises:
      ConfigError, DataError: see `Experiment.load_run_data`.
    """
    with console.progress_bar("beats") as progress_bar:
        return experiment.load_run_data(
            seeds, progress_bar.without_notes() if withholds else progress_bar
        )


def planned_ledger(
    experiment: Experiment, run_data: RunData, checkpoint_manager: CheckpointManager | None = None
) -> Ledger:
    """Check that the data support the run, and make its privacy plan; no TensorFlow is imported.

    Args:
      experiment: the parts of the run.
      run_data: its data.
      checkpoint_manager: restores the ledger of a resumed run, and begins its journal; None: the
        run is only planned.

    Returns:
      The ledger of the plan.

    Raises:
      ConfigError, DataError: see `set_up`.
    """
    class_coverage.check_class_coverage(experiment, run_data)
    plan = experiment.trainer.plan(experiment.privacy, run_data.data)
    check_plan_of_plugin(experiment.trainer, plan, experiment.privacy, run_data.data)
    ledger = (
        Ledger(plan)
        if checkpoint_manager is None
        else checkpoint_manager.ledger(plan, num_steps=experiment.trainer.num_steps)
    )
    if plan.is_private:
        check_budget_sufficed(ledger.planned())
    return ledger


def _keyed(run_data: RunData, key: DigestKey) -> RunData:
    """Return `run_data` with a keyed digest, which is the one that all outputs contain.

    Outside the store it does not reveal which beats the dataset has.
    """
    return replace(
        run_data, beats=replace(run_data.beats, digest=key.digest(run_data.beats.digest))
    )
