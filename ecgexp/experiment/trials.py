"""What a debug run finds: whether the model fits its few training beats, and where time goes."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from ecgexp.experiment.data import RunData
from ecgexp.experiment.notes import Messages
from ecgexp.experiment.training_loop import TrainingLoop
from ecgexp.formatting import count_text, percent_text, score_text
from ecgexp.privacy.outputs import PRIVATE_FOLDER
from ecgexp.tracking.base import Tracker
from ecgexp.training.model_selection import ModelSelector
from ecgexp.training.step_profile import StepProfile

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_MOST_COSTS = 10


def show_trial(
    experiment: "Experiment",
    run_data: RunData,
    training_loop: TrainingLoop,
    model_selector: ModelSelector,
    tracker: Tracker,
    messages: Messages,
    run_dir: Path,
) -> None:
    """Print and store what a debug run found; nothing for an ordinary run.

    Under a guarantee that withholds it, it is stored in `private/`, and the console says where.

    Args:
      experiment: an `ecgexp.experiment.experiment.Experiment`.
      run_data: its data.
      training_loop: after `fit`.
      model_selector: the selected weights.
      tracker: receives the files.
      messages: receive the lines for the console.
      run_dir: folder of the run.
    """
    folder = run_dir / PRIVATE_FOLDER if experiment.withholds else run_dir
    if experiment.debug.preset == "overfit":
        verdict = Verdict(
            accuracy=training_loop.accuracy_on_training(model_selector.weights),
            beats=len(run_data.split.train),
            most_frequent=float(run_data.class_counts.max() / run_data.class_counts.sum()),
            step=model_selector.step,
            step_name=experiment.trainer.step_name,
            rate_setting=experiment.trainer.learning_rate_setting,
        )
        tracker.log_dict(verdict.as_dict(), "overfit.json")
        messages.print_result("overfit", verdict.line())
        if experiment.withholds:
            messages.print_result("marks", _withheld_verdict(folder / "overfit.json"))
    if training_loop.profile is not None:
        _store(training_loop.profile, tracker)
        table = costs_table(training_loop.profile, experiment.trainer.step_name)
        messages.print_result("profile", table)
        messages.print_result(
            "marks",
            f"debug=profile: all events are in {folder}/profile/trace.json.gz; open it in "
            "https://ui.perfetto.dev, which keeps it in the browser"
            + (
                ". It is not published, because no ε covers how long a step takes"
                if experiment.withholds
                else ""
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a model fits its few training beats.

    Attributes:
      accuracy: on the training beats, of the weights that the run selected.
      beats: number of training beats.
      most_frequent: their part of the most frequent class.
      step: the last epoch or round.
      step_name: `epoch` or `round`.
      rate_setting: the setting of the learning rate.

    Example:
      >>> Verdict(accuracy=1.0, beats=32, most_frequent=0.5, step=41, step_name="epoch",
      ...     rate_setting="learning_rate").line()
      'debug=overfit: yes, the model fits its 32 training beats (accuracy 1.000) after epoch 41'
    """

    accuracy: float
    beats: int
    most_frequent: float
    step: int
    step_name: str
    rate_setting: str

    FITS = 0.99

    @property
    def fits(self) -> bool:
        """Whether the model fits them."""
        return self.accuracy >= self.FITS

    def as_dict(self) -> dict[str, float | int | bool]:
        """Return the content of `overfit.json`."""
        return {
            "fits": self.fits,
            "accuracy": self.accuracy,
            "beats": self.beats,
            "most_frequent": self.most_frequent,
            self.step_name: self.step,
        }

    def line(self) -> str:
        """Return the verdict in one line."""
        beats = f"its {count_text(self.beats)} training beats"
        accuracy, after = score_text(self.accuracy), f"after {self.step_name} {self.step}"
        if self.fits:
            return f"debug=overfit: yes, the model fits {beats} (accuracy {accuracy}) {after}"
        return (
            f"debug=overfit: no, the model does not fit {beats} {after}: accuracy {accuracy}, and "
            f"{score_text(self.most_frequent)} by the most frequent class alone; check features "
            f"and labels, or use another trainer.{self.rate_setting}, more {self.step_name}s or a "
            "larger model"
        )


def costs_table(profile: StepProfile, step_name: str) -> Table:
    """Return the operations that take most of the time, and the sum of the others.

    Args:
      profile: of the run.
      step_name: `epoch` or `round`.
    """
    title = f"time of TensorFlow's operations in {step_name} {profile.step}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operation", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for name in ("calls", "ms", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for cost in profile.costs[:_MOST_COSTS]:
        table.add_row(
            _shown(cost.where),
            cost.kind,
            count_text(cost.calls),
            f"{1000 * cost.seconds:.1f}",
            percent_text(cost.share),
        )
    rest = profile.costs[_MOST_COSTS:]
    if rest:
        table.add_row(
            f"{len(rest)} others",
            "",
            count_text(sum(cost.calls for cost in rest)),
            f"{1000 * sum(cost.seconds for cost in rest):.1f}",
            percent_text(sum(cost.share for cost in rest)),
        )
    return table


def _shown(where: str, most: int = 48) -> str:
    return where if len(where) <= most else f"…{where[1 - most :]}"


def _store(profile: StepProfile, tracker: Tracker) -> None:
    import pandas as pd

    rows = [vars(cost) for cost in profile.costs]
    tracker.log_table(pd.DataFrame(rows), "profile/operations.csv")
    with tempfile.TemporaryDirectory() as folder:
        tracker.log_file(profile.write(Path(folder) / "trace.json.gz"), "profile")


def _withheld_verdict(path: Path) -> str:
    return (
        f"debug=overfit: whether the model fits its training beats is only in {path}, because no ε "
        "covers it. Noise keeps a model from fitting few beats; to try the model alone, use "
        "trainer=centralized privacy=none on public data"
    )
