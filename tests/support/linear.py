"""A problem with known gradients.

The loss of a row is its prediction, so its gradient is the row itself.
"""

import numpy as np

from ecgexp.augmentation import NoAugmentation
from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.seeding import Seeds
from ecgexp.training.base import TrainingData
from ecgexp.training.dp.trainer import DpSgd


def linear_data(rows, *, train=None, patients=None) -> TrainingData:
    """Beats whose features are `rows` (num_beats, d)."""
    rows = np.asarray(rows, np.float32)
    owners = np.array(patients if patients is not None else [f"p{i}" for i in range(len(rows))])
    return TrainingData(
        features={"signal": rows},
        labels=np.zeros(len(rows), np.int64),
        train=np.arange(len(rows)) if train is None else train,
        class_names=("N",),
        record_ids=owners,
        patient_ids=owners,
    )


def canaries(num_canaries: int, dimensions: int, size: float = 10.0) -> np.ndarray:
    """(num_canaries, dimensions): row i is `size` in coordinate i alone.

    The coordinates after them are nobody's.
    """
    return size * np.eye(num_canaries, dimensions, dtype=np.float32)


def linear_model(dimensions: int, *, bias: bool = False):
    """Dense(1) of zeros."""
    import tensorflow as tf

    dense = tf.keras.layers.Dense(1, use_bias=bias, kernel_initializer="zeros", name="linear")
    signal = tf.keras.Input((dimensions,), name="signal")
    return tf.keras.Model({"signal": signal}, dense(signal))


@RowWiseLoss
def prediction_loss(labels, predictions):
    """(rows,): the prediction itself."""
    return predictions[:, 0]


def sgd(**settings) -> DpSgd:
    """Steps of plain SGD(1), so that the weights are minus the sum of all noised means."""
    plain = {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.0, "schedule": "constant"}
    return DpSgd(**(plain | {"epochs": 1} | settings))


class Training:
    """One training through the real loop.

    Attributes:
      progress: every `EpochResult` that was yielded.
      history: (d,) weights after each of them; a bias comes last.
      weights: those at the end.
      ledger: the recorded events.
    """

    def __init__(
        self,
        data,
        trainer,
        privacy=None,
        *,
        bias=False,
        augmentation=None,
        loss=prediction_loss,
        seed=0,
        ledger=None,
        resume_from=None,
        stop_after=None,
        on_epoch=lambda epoch_result: None,
        on_progress=lambda **_: None,
    ):
        self.ledger = ledger or Ledger(trainer.plan(privacy, data))
        dimensions = data.features["signal"].shape[1]
        self.epoch_results, self.history = [], []
        for epoch_result in trainer.train(
            data,
            build_model=lambda: linear_model(dimensions, bias=bias),
            loss=loss,
            augmentation=augmentation or NoAugmentation(),
            ledger=self.ledger,
            seeds=Seeds(seed),
            on_progress=on_progress,
            resume_from=resume_from,
        ):
            self.epoch_results.append(epoch_result)
            self.history.append(
                np.concatenate([weight.ravel() for weight in epoch_result.weights()])
            )
            on_epoch(epoch_result)
            if len(self.epoch_results) == stop_after:
                break

    @property
    def weights(self):
        return self.history[-1]


def train_linear(
    rows,
    *,
    privacy=None,
    noise=0.0,
    clip=1.0,
    bias=False,
    augmentation=None,
    seed=0,
    noise_seed=None,
    **settings,
):
    """`Training` on `rows` by SGD(1), one step that everybody enters unless `settings` say
    otherwise.
    """
    settings = {"expected_batch_size": len(rows), "physical_batch_size": 64} | settings
    privacy = privacy or PrivacySpec(
        noise_multiplier=noise, l2_norm_clip=clip, noise_seed=noise_seed
    )
    return Training(
        linear_data(rows), sgd(**settings), privacy, bias=bias, augmentation=augmentation, seed=seed
    )
