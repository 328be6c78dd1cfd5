"""How far a training is, on disk after every epoch or round, so that whatever ends the process ends nothing else."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.privacy.journal import Journal
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.settings.declaration import Count, DataError, Positive, settings
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.checkpoint_folder import CHECKPOINTS
from ecgexp.training.base import TrainerState
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints
from ecgexp.training.model_selection import ModelSelector

JOURNAL = "privacy_journal.jsonl"

_TRAINER, _SELECTED = "trainer/", "chosen/"


@settings
class CheckpointRule:
    """When a run's state is written to its folder.

    Attributes:
      every: epochs or rounds from one checkpoint to the next; the last one is always written. The curves show an epoch when its
        checkpoint is written.
      minutes: within an epoch that is longer than this, one is written whenever so much time has passed.
      keep: how many are kept, for when the newest is damaged. All are removed when the run has finished.
    """

    every: Count = 1
    minutes: Positive = 5.0
    keep: Count = 2


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Where a training stands.

    Attributes:
      step: epochs or rounds that are finished; the trainer may be within the next.
      trainer: from which the trainer goes on.
      points: metric -> value of each finished epoch, in order; see `LearningCurve`.
      is_over: whether the selection has seen enough.
    """

    step: int
    trainer: TrainerState
    points: Sequence[Mapping[str, float]]
    is_over: bool


class LearningCurve:
    """The metrics of each epoch or round, shown when its checkpoint is on the disk.

    An epoch that was shown before could still be rolled back by a crash. With noise that nobody can repeat it then runs
    again with other values, and no store of metrics takes a value back.

    **Guarantees**: after a resume the points are those of the epochs that stand, each once, in the run's folder, its history and
    its figure; and in MLflow too, unless the newest checkpoint was damaged, when MLflow shows the newer value beside the older
    (`tests/test_progress.py`).

    Args:
      tracker: where the points are shown.
      points: metric -> value of each epoch that stands.
    """

    def __init__(self, tracker: Tracker, points: Sequence[Mapping[str, float]] = ()):
        self._tracker, self._shown = tracker, 0
        self.points = [dict(point) for point in points]
        tracker.discard_points(after=len(self.points))
        self.show()

    @property
    def is_shown(self) -> bool:
        """Whether all points are."""
        return self._shown == len(self.points)

    def add(self, point: Mapping[str, float]) -> None:
        """Adds the metrics of the next epoch; `show` shows them."""
        self.points.append(dict(point))

    def show(self) -> None:
        """Shows what was added since the last call; a tracker passes over points of an earlier session."""
        for step, point in enumerate(self.points[self._shown :], self._shown + 1):
            self._tracker.log_metrics(point, step=step)
        self._shown = len(self.points)

    def history(self, prefix: str) -> dict[str, list[float]]:
        """Metric without `prefix` -> its value after each epoch, NaN where an epoch has none."""
        names = dict.fromkeys(
            name for point in self.points for name in point if name.startswith(prefix)
        )
        return {
            name.removeprefix(prefix): [point.get(name, math.nan) for point in self.points]
            for name in names
        }


def begin_journal(run_dir: Path) -> None:
    """Puts the privacy journal into the folder of a new run, before anything else is: from now on a missing one was lost."""
    Journal.create(run_dir / JOURNAL)


def check_journal(run_dir: Path) -> None:
    """Refuses to resume a run whose privacy journal is missing or damaged, before its beats are read.

    Raises:
      DataError: says what is wrong with it.
    """
    Journal(run_dir / JOURNAL, block=1)


def has_training_state(run_dir: Path) -> bool:
    """Whether a run left a state of its training in its folder, from which it can go on."""
    return any((run_dir / CHECKPOINTS).glob("step-*"))


class CheckpointManager:
    """Writes and reads the standing of one run.

    Args:
      run_dir: the run's folder.
      rule: how often.
      data_digest: keyed digest of the beats; a standing of others is refused.
      resumes: whether there is one to go on from. Without it, what an earlier run left in the folder is ignored.
    """

    def __init__(self, run_dir: Path, rule: CheckpointRule, *, data_digest: str, resumes: bool):
        self._run_dir, self._rule, self._data_digest, self._resumes = (
            run_dir,
            rule,
            data_digest,
            resumes,
        )
        self._files = Checkpoints(run_dir / CHECKPOINTS, keep=rule.keep)
        self._found = self._newest() if resumes else None
        self._written = time.monotonic()

    @property
    def training_state(self) -> TrainingState | None:
        """Where the run stood when its last checkpoint was written; None at its beginning."""
        if self._found is None:
            return None
        meta = self._found.meta
        return TrainingState(
            step=self._found.step, points=meta["points"], is_over=meta["is_over"],
            trainer=TrainerState(arrays=_under(_TRAINER, self._found.arrays), meta=meta["trainer"]),
        )  # fmt: skip

    def ledger(self, plan: PrivacyPlan, *, num_steps: int) -> Ledger:
        """The run's ledger, with what an earlier session charged, also for steps that it lost.

        Args:
          plan: of the run.
          num_steps: epochs or rounds of the run, each of which may be lost.

        Raises:
          DataError: the checkpoint or the privacy journal does not say what the run took before.
        """
        journal = None
        if plan.has_privacy_guarantee:
            if not self._resumes:
                begin_journal(self._run_dir)  # what an earlier run in this folder took counts
            block = math.ceil(plan.num_events(plan.iterations) / num_steps)
            journal = Journal(self._run_dir / JOURNAL, block=block)
        state = Ledger(plan, journal=journal).to_dict()
        if self._found is not None and math.isfinite(plan.l2_norm_clip):
            state = self._found.meta["trainer"].get("ledger", {})  # an empty one is refused
        return Ledger.from_dict(plan, state, journal=journal, run_dir=self._run_dir)

    def restore(self, model_selector: ModelSelector) -> None:
        """Puts back which weights were kept so far."""
        if self._found is not None:
            model_selector.restore(
                _under(_SELECTED, self._found.arrays), self._found.meta["model_selector"]
            )

    def save(
        self, training_state: TrainingState, model_selector: ModelSelector, *, is_last: bool
    ) -> bool:
        """Writes down the standing after an epoch or round, if its turn has come; returns whether it had."""
        is_due = not training_state.step % self._rule.every or is_last or training_state.is_over
        if is_due:
            self._write(training_state, model_selector)
        return is_due

    def save_within(
        self, training_state: Callable[[], TrainingState], model_selector: ModelSelector
    ) -> bool:
        """Writes down where an epoch stands that takes long; `training_state` is made only if its turn has come, which is returned."""
        is_due = time.monotonic() - self._written >= 60 * self._rule.minutes
        if is_due:
            self._write(training_state(), model_selector)
        return is_due

    def _write(self, training_state: TrainingState, model_selector: ModelSelector) -> None:
        kept, rest = model_selector.state()
        arrays = {_TRAINER + name: array for name, array in training_state.trainer.arrays.items()}
        meta = {
            "trainer": dict(training_state.trainer.meta), "model_selector": rest, "points": [dict(point) for point in training_state.points],
            "is_over": training_state.is_over, "data_digest": self._data_digest,
        }  # fmt: skip
        arrays |= {_SELECTED + name: array for name, array in kept.items()}
        self._files.save(Checkpoint(step=training_state.step, arrays=arrays, meta=meta))
        self._written = time.monotonic()

    def _newest(self) -> Checkpoint | None:
        found = self._files.newest()
        if found is not None and found.meta["data_digest"] != self._data_digest:
            raise DataError(
                f"the beats are not those that {self._run_dir} was trained on (digest {self._data_digest[:12]} instead of "
                f"{found.meta['data_digest'][:12]}), or the key of digests is not that of the store it began in; give it its "
                "data back, use that store (from the same folder, or by tracking.uri= or ECGEXP_PRIVATE=), or start a new run"
            )
        return found


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(_named(prefix, arrays))


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in arrays.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), array
