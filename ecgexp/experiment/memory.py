"""An estimate of the memory that a run needs at most, from shapes alone.

It is meant for the choice of a batch size, before hours are spent. The constants were measured on
runs of all trainers (`docs/howto/plan.md` compares estimates with measured peaks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgexp.training.federated.settings import FederatedSettings

_FLOAT = 4  # bytes
_PROCESS = 950_000_000  # TensorFlow, MLflow, scikit-learn and Matplotlib, with their threads
_COPIES = 2  # of the windows: as loaded, and as they are cut from the database
_FORWARD_AND_BACKWARD = 1.2  # of the values of all layers, some of which share memory
_PREDICTED_AT_ONCE = 1024  # rows, see `models.resident.Predictor`
_SLOTS = {"adam": 2, "adamw": 2, "yogi": 2, "adagrad": 1, "sgd": 1}


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that a run needs at most, by what needs them.

    Attributes:
      process: the libraries.
      beats: windows and features.
      model: weights, gradient, optimizer and selected weights.
      batch: activations of the rows that are computed at once, and their gradients.
      rows_at_once: these rows.
      batch_setting: the setting of `rows_at_once`, as the user writes it.
      without_training_beats: whether `beats` leaves them out, because their number is not public.
    """

    process: int
    beats: int
    model: int
    batch: int
    rows_at_once: int
    batch_setting: str
    without_training_beats: bool = False

    @property
    def total(self) -> int:
        """All together."""
        return self.process + self.beats + self.model + self.batch

    def rows_within(self, available: int) -> int:
        """Return a smaller power of two of rows at once that fits, at least 1.

        Args:
          available: bytes that the process may use in all.
        """
        room = max(0, available - (self.total - self.batch))
        fits = min(room * self.rows_at_once // max(1, self.batch), (self.rows_at_once - 1) or 1)
        return 1 << max(0, max(1, fits).bit_length() - 1)


def estimate_memory(
    *,
    trainer: Any,
    unit: str | None,
    rows: int,
    window_values: int,
    feature_bytes: int,
    num_parameters: int,
    activations: int,
    most_rows: int,
    without_training_beats: bool,
) -> MemoryEstimate:
    """Estimate the memory of a run.

    Args:
      trainer: its settings.
      unit: unit of privacy; None without privacy.
      rows: beats of the dataset; without those for training if their number is not public.
      window_values: values of a window, over all leads.
      feature_bytes: bytes of the features of one beat.
      num_parameters: trainable parameters of the model.
      activations: values of all layers for one row.
      most_rows: most rows that a batch can have.
      without_training_beats: see `MemoryEstimate`.

    Returns:
      The estimate.
    """
    setting, asked = batch_of(trainer)
    at_once = min(asked, most_rows)
    each = int(_FORWARD_AND_BACKWARD * activations * _FLOAT) + feature_bytes
    each *= getattr(trainer, "augmentation_multiplicity", 1)
    whole = num_parameters * _FLOAT
    if unit == "beat" and getattr(trainer, "clipping", "") == "vectorized":
        each += 2 * whole  # the gradient of each row, and its clipped copy
    predicted = _PREDICTED_AT_ONCE * activations * _FLOAT
    slots = _SLOTS.get(getattr(trainer, "optimizer", "adam"), 2)
    return MemoryEstimate(
        process=_PROCESS,
        beats=rows * (window_values * _FLOAT * _COPIES + 2 * feature_bytes),
        model=whole * (3 + slots),
        batch=max(at_once * each, predicted),
        rows_at_once=at_once,
        batch_setting=setting,
        without_training_beats=without_training_beats,
    )


def batch_of(trainer: Any) -> tuple[str, int]:
    """Return the setting of the rows that are computed at once, and its value.

    A smaller one changes the result of a trainer, except `trainer.physical_batch_size`, whose
    batches are accumulated.

    Args:
      trainer: settings of a trainer; one without batches has no such setting.

    Example:
      >>> from ecgexp.training import DpSgd
      >>> batch_of(DpSgd(physical_batch_size=64))
      ('trainer.physical_batch_size', 64)
    """
    if isinstance(trainer, FederatedSettings):
        return "trainer.client_batch_size", trainer.client_batch_size
    for name in ("physical_batch_size", "batch_size"):
        if (value := getattr(trainer, name, None)) is not None:
            return f"trainer.{name}", int(value)
    return "", 1


def feature_bytes(features: Mapping[str, Any]) -> int:
    """Return the bytes of the features of one beat.

    Args:
      features: name -> (num_beats, ...) array.
    """
    return sum(array.nbytes // max(1, len(array)) for array in features.values())
