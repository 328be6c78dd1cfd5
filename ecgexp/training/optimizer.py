"""Keras optimizers and learning-rate schedules: settings that the non-federated trainers share."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ecgexp.settings.declaration import Fraction, Number, Rate, settings

OptimizerName = Literal["adam", "adamw", "sgd"]


@settings
class OptimizerSettings:
    """The settings of the optimizer and its schedule.

    Attributes:
      optimizer: `adam`, `adamw` or `sgd`.
      learning_rate: the highest rate of the schedule.
      momentum: of `sgd`; Adam has its own.
      weight_decay: of `adamw`.
      schedule: `constant`, or `cosine` down to zero over the planned steps.
      warmup_fraction: fraction of the planned steps over which the rate rises linearly from zero.
    """

    optimizer: OptimizerName = "adam"
    learning_rate: Rate = 1e-3
    momentum: Fraction = 0.9
    weight_decay: Annotated[Number, Field(ge=0, le=1000)] = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_fraction: Fraction = 0.0

    def __post_init__(self):
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                f"trainer.weight_decay={self.weight_decay}: trainer.optimizer={self.optimizer} has "
                "no decoupled weight decay; use trainer.optimizer=adamw, or "
                "trainer.weight_decay=0."
            )

    def build_optimizer(self, total_steps: int) -> Any:
        """Return a new Keras optimizer; under mixed precision it scales the loss.

        Args:
          total_steps: planned updates of the run, over which the schedule extends.
        """
        import tensorflow as tf

        optimizer = self._unscaled(self._rate(total_steps))
        mixed = tf.keras.mixed_precision.global_policy().name == "mixed_float16"
        return tf.keras.mixed_precision.LossScaleOptimizer(optimizer) if mixed else optimizer

    def _unscaled(self, rate: Any) -> Any:
        import tensorflow as tf

        if self.optimizer == "sgd":
            return tf.keras.optimizers.SGD(rate, momentum=self.momentum)
        if self.optimizer == "adamw":
            return tf.keras.optimizers.AdamW(rate, weight_decay=self.weight_decay)
        return tf.keras.optimizers.Adam(rate)

    def _rate(self, total_steps: int) -> Any:
        import tensorflow as tf

        warmup = int(self.warmup_fraction * total_steps)
        if self.schedule == "cosine":
            return tf.keras.optimizers.schedules.CosineDecay(
                0.0 if warmup else self.learning_rate,
                max(1, total_steps - warmup),
                warmup_target=self.learning_rate if warmup else None,
                warmup_steps=warmup,
            )
        if warmup:
            return tf.keras.optimizers.schedules.PolynomialDecay(0.0, warmup, self.learning_rate)
        return self.learning_rate
