"""The checkpoints of a run: the training state is on disk after every epoch or round."""

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
from ecgexp.tracking.base import ReadableTracker
from ecgexp.tracking.local.checkpoint_folder import CHECKPOINTS
from ecgexp.training.base import TrainerState
from ecgexp.training.checkpointing.store import Checkpoint, Checkpoints
from ecgexp.training.model_selection import ModelSelector

JOURNAL = "privacy_journal.jsonl"

_TRAINER, _SELECTED = "trainer/", "chosen/"


@settings
class CheckpointRule:
    """When the state of a run is written to its folder.

    Attributes:
      every: epochs or rounds from one checkpoint to the next; the last one is always written. The
        curves show an epoch when its checkpoint is written.
      minutes: within a longer epoch, a checkpoint is written whenever this time has passed.
      keep: number of checkpoints kept, in case the newest is damaged. All are removed when the run
        has finished.

    Example:
      >>> CheckpointRule(every=5).keep
      2
    """

    every: Count = 1
    minutes: Positive = 5.0
    keep: Count = 2


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """The state of a training.

    Attributes:
      step: finished epochs or rounds; the trainer may be within the next.
      trainer: the state from which the trainer resumes.
      points: metric -> value of each finished epoch, in order; see `LearningCurve`.
      is_over: whether early stopping has ended the training.
    """

    step: int
    trainer: TrainerState
    points: Sequence[Mapping[str, float]]
    is_over: bool


class LearningCurve:
    """The metrics of each epoch or round, logged when its checkpoint is on the disk.

    An epoch logged earlier could still be rolled back by a crash. With noise that cannot be
    repeated it then runs again with other values, and a store of metrics does not delete a value.

    **Guarantees**: after a resume the points are those of the restored epochs, each once, in the
    folder of the run, its history and its figure; and in MLflow too, unless the newest checkpoint
    was damaged, in which case MLflow shows both values
    (`tests/unit/training/checkpointing/test_manager.py`).

    Args:
      tracker: receives the points.
      points: metric -> value of each restored epoch.
    """

    def __init__(self, tracker: ReadableTracker, points: Sequence[Mapping[str, float]] = ()):
        self._tracker, self._shown = tracker, 0
        self.points = [dict(point) for point in points]
        tracker.discard_points(after=len(self.points))
        self.show()

    @property
    def is_shown(self) -> bool:
        """Whether all points are logged."""
        return self._shown == len(self.points)

    def add(self, point: Mapping[str, float]) -> None:
        """Add the metrics of the next epoch; `show` logs them."""
        self.points.append(dict(point))

    def show(self) -> None:
        """Log what was added since the last call; a tracker skips points of an earlier session."""
        for step, point in enumerate(self.points[self._shown :], self._shown + 1):
            self._tracker.log_metrics(point, step=step)
        self._shown = len(self.points)

    def history(self, prefix: str) -> dict[str, list[float]]:
        """Return metric without `prefix` -> its value after each epoch, NaN where it has none."""
        names = dict.fromkeys(
            name for point in self.points for name in point if name.startswith(prefix)
        )
        return {
            name.removeprefix(prefix): [point.get(name, math.nan) for point in self.points]
            for name in names
        }


def begin_journal(run_dir: Path) -> None:
    """Create the privacy journal in the folder of a new run, before anything else is written.

    From then on a missing journal means that it was lost.
    """
    Journal.create(run_dir / JOURNAL)


def check_journal(run_dir: Path) -> None:
    """Check the privacy journal of a run to be resumed, before its beats are read.

    Raises:
      DataError: the journal is missing or damaged.
    """
    Journal(run_dir / JOURNAL, block=1)


def has_training_state(run_dir: Path) -> bool:
    """Return whether the folder of a run contains a checkpoint from which it can be resumed."""
    return any((run_dir / CHECKPOINTS).glob("step-*"))


class CheckpointManager:
    """Writes and reads the training state of one run.

    Args:
      run_dir: the folder of the run.
      rule: how often a checkpoint is written.
      data_digest: keyed digest of the beats; a checkpoint of other beats is refused.
      resumes: whether the run is resumed. If not, checkpoints of an earlier run in the folder are
        ignored.
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
        """The state in the newest checkpoint; None at the beginning of a run."""
        if self._found is None:
            return None
        meta = self._found.meta
        return TrainingState(
            step=self._found.step,
            points=meta["points"],
            is_over=meta["is_over"],
            trainer=TrainerState(arrays=_under(_TRAINER, self._found.arrays), meta=meta["trainer"]),
        )

    def ledger(self, plan: PrivacyPlan, *, num_steps: int) -> Ledger:
        """Return the ledger, with the events of earlier sessions, including discarded steps.

        Args:
          plan: of the run.
          num_steps: epochs or rounds of the run, each of which may be discarded by a crash.

        Raises:
          DataError: the checkpoint or the privacy journal does not state the events recorded
            before.
        """
        journal = None
        if plan.has_privacy_guarantee:
            if not self._resumes:
                begin_journal(self._run_dir)  # events of an earlier run in this folder count
            block = math.ceil(plan.num_events(plan.iterations) / num_steps)
            journal = Journal(self._run_dir / JOURNAL, block=block)
        state = Ledger(plan, journal=journal).to_dict()
        if self._found is not None and math.isfinite(plan.l2_norm_clip):
            state = self._found.meta["trainer"].get("ledger", {})  # an empty one is refused
        return Ledger.from_dict(plan, state, journal=journal, run_dir=self._run_dir)

    def restore(self, model_selector: ModelSelector) -> None:
        """Restore the weights selected so far."""
        if self._found is not None:
            model_selector.restore(
                _under(_SELECTED, self._found.arrays), self._found.meta["model_selector"]
            )

    def save(
        self, training_state: TrainingState, model_selector: ModelSelector, *, is_last: bool
    ) -> bool:
        """Write the state after an epoch or round if a checkpoint is due.

        Args:
          training_state: the state.
          model_selector: holds the selected weights.
          is_last: whether it is the last epoch or round.

        Returns:
          Whether a checkpoint was written.
        """
        is_due = not training_state.step % self._rule.every or is_last or training_state.is_over
        if is_due:
            self._write(training_state, model_selector)
        return is_due

    def save_within(
        self,
        training_state: Callable[[], TrainingState],
        model_selector: ModelSelector,
        *,
        at_once: bool = False,
    ) -> bool:
        """Write the state within a long epoch if a checkpoint is due.

        Args:
          training_state: returns the state; called only if a checkpoint is due.
          model_selector: holds the selected weights.
          at_once: whether it is due in any case.

        Returns:
          Whether a checkpoint was written.
        """
        is_due = at_once or time.monotonic() - self._written >= 60 * self._rule.minutes
        if is_due:
            self._write(training_state(), model_selector)
        return is_due

    def _write(self, training_state: TrainingState, model_selector: ModelSelector) -> None:
        kept, rest = model_selector.state()
        arrays = {_TRAINER + name: array for name, array in training_state.trainer.arrays.items()}
        meta = {
            "trainer": dict(training_state.trainer.meta),
            "model_selector": rest,
            "points": [dict(point) for point in training_state.points],
            "is_over": training_state.is_over,
            "data_digest": self._data_digest,
        }
        arrays |= {_SELECTED + name: array for name, array in kept.items()}
        self._files.save(Checkpoint(step=training_state.step, arrays=arrays, meta=meta))
        self._written = time.monotonic()

    def _newest(self) -> Checkpoint | None:
        found = self._files.newest()
        if found is not None and found.meta["data_digest"] != self._data_digest:
            raise DataError(
                f"resume={self._run_dir}: the beats are not those that the run was trained on "
                f"(digest {self._data_digest[:12]} instead of "
                f"{found.meta['data_digest'][:12]}), or the digest key is not that of its tracking "
                "store; use the original "
                "data, use that store (from the same folder, or by tracking.uri= or "
                "ECGEXP_PRIVATE=), or start a new run."
            )
        return found


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(_named(prefix, arrays))


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in arrays.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), array
