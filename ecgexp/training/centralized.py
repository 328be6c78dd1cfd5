"""Training on the pooled beats, without a promise of privacy: the reference the other trainers are held against."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from ecgexp._validate import Count, settings
from ecgexp.models.base import restart_dropout
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacyPlan, PrivacySpec, Unit
from ecgexp.seeding import Seeds
from ecgexp.training.base import Progress, StepReporter, TrainerState, TrainingData
from ecgexp.training.optimizer import OptimizerSettings
from ecgexp.training.state import assign_arrays, to_arrays

_STEPS_PER_CALL = 20  # how often the progress bar moves; one compiled call of many steps keeps Python out of the loop


@settings
class Centralized(OptimizerSettings):
    """Mini-batch training on shuffled epochs.

    Attributes:
      epochs: passes over the training rows (and their augmented copies).
      batch_size: rows per step, over all devices together; the last batch of an epoch may be smaller.
    """

    epochs: Count = 20
    batch_size: Count = 256

    step_name: ClassVar[str] = "epoch"
    privacy_units: ClassVar[frozenset[Unit]] = frozenset()
    needs_privacy: ClassVar[bool] = False
    needs_clients: ClassVar[bool] = False

    @property
    def num_steps(self) -> int:
        """Epochs."""
        return self.epochs

    def check_privacy(self, privacy: PrivacySpec) -> None:
        """See `Trainer.check_privacy`; every setting will do."""

    def plan(self, privacy: Any, data: TrainingData) -> PrivacyPlan:
        """A plan without clip or noise: what runs is not private, and its price is infinite."""
        return privacy.plan(
            num_units=len(data.train), expected_batch_size=min(self.batch_size, len(data.train)), epochs=self.epochs
        )

    def train(
        self, data: TrainingData, *, build_model: Callable[[], Any], loss: Any, augmentation: Any, ledger: Ledger, seeds: Seeds,
        report: StepReporter, resume_from: TrainerState | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """See `Trainer.train`; yields once per epoch."""
        import tensorflow as tf

        rows, views = augmentation.expand(data.labels[data.train], data.class_names)
        rows = data.train[rows]
        steps_per_epoch = self.steps_per_epoch(len(rows))
        with tf.distribute.get_strategy().scope():
            model = build_model()
            optimizer = self.build_optimizer(steps_per_epoch * self.epochs)
            optimizer.build(model.trainable_variables)
        first_epoch = 1
        if resume_from is not None:
            assign_arrays(model, optimizer, resume_from.arrays)
            first_epoch = resume_from.meta["epoch"] + 1
        run_steps = compiled_steps(model, optimizer, data, loss, augmentation.build(), seeds.integer("augmentation"))
        for epoch in range(first_epoch, self.epochs + 1):
            metrics = self.run_epoch(epoch, model, run_steps, rows, views, seeds, report)
            yield finished_epoch(epoch, model, optimizer, metrics)

    def steps_per_epoch(self, num_rows: int) -> int:
        """Batches in a pass over `num_rows`. A single row left over joins the batch before it.

        TensorFlow 2.15 with oneDNN corrupts the heap in the gradient of a strided convolution over one row.
        """
        full, rest = divmod(num_rows, self.batch_size)
        return max(1, full + (rest > 1))

    def run_epoch(
        self, epoch: int, model: Any, run_steps: Any, rows: np.ndarray, views: np.ndarray, seeds: Seeds, report: StepReporter
    ) -> dict[str, float]:  # fmt: skip
        """One pass over `rows`, in the order and with the random numbers of the 1-based `epoch`.

        Args:
          epoch: which pass it is.
          model: the one that `run_steps` trains.
          run_steps: made by `compiled_steps`.
          rows: (num_rows,) indices into the beats.
          views: (num_rows,) view numbers.
          seeds: of the run.
          report: told about progress.

        Returns:
          Mean loss and accuracy while training.
        """
        restart_dropout(model, seeds.integer(f"dropout/{epoch}"))
        order = seeds.generator(f"order/{epoch}").permutation(len(rows))
        first_step = (epoch - 1) * self.steps_per_epoch(len(rows))
        return self._run_steps(run_steps, rows[order], views[order], first_step, report)

    def _run_steps(
        self, run_steps: Any, rows: np.ndarray, views: np.ndarray, first_step: int, report: StepReporter
    ) -> dict[str, float]:
        size, total = self.batch_size, self.steps_per_epoch(len(rows))
        full = total if total * size == len(rows) else total - 1
        sums = np.zeros(2)
        calls = [(at, min(at + _STEPS_PER_CALL, full), size) for at in range(0, full, _STEPS_PER_CALL)]
        calls += [(full, total, len(rows) - full * size)] if total > full else []
        for begin, end, width in calls:
            chunk = slice(begin * size, begin * size + (end - begin) * width)
            sums += run_steps(
                rows[chunk].reshape(-1, width), views[chunk].reshape(-1, width), first_step + begin
            ).numpy()
            seen = chunk.stop
            metrics = {"loss": float(sums[0] / seen), "accuracy": float(sums[1] / seen)}
            report(done=end, total=total, metrics=metrics)
        return metrics


def finished_epoch(epoch: int, model: Any, optimizer: Any, metrics: dict[str, float]) -> Progress:
    """What the caller is told of the 1-based `epoch`; weights and checkpoint are read when they are asked for."""
    return Progress(
        step=epoch, weights=model.get_weights, train_metrics=metrics, dp_event=None,
        checkpoint=lambda: TrainerState(arrays=to_arrays(model, optimizer), meta={"epoch": epoch}),
    )  # fmt: skip


def compiled_steps(
    model: Any, optimizer: Any, data: TrainingData, loss: Any, augment: Any, augmentation_seed: int
) -> Any:
    """`run(rows (steps, batch), views (steps, batch), first_step) -> (summed loss, correct rows)` over those steps."""
    import tensorflow as tf

    resident = data.resident
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def replica_step(rows: Any, views: Any, step: Any) -> Any:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        batch = tf.shape(rows)[0]
        part = slice(replica * batch // replicas, (replica + 1) * batch // replicas)
        rows, views = rows[part], views[part]
        features = augment(resident.gather(rows), views, tf.stack([augmentation_seed, step * replicas + replica]))
        labels = tf.gather(resident.labels, rows)
        with tf.GradientTape() as tape:
            logits = model(features, training=True)
            losses = loss(labels, logits)
            # Divided by the whole batch, since the optimizer sums over the replicas; decay is a term of one model, not of each.
            objective = tf.reduce_sum(losses) / tf.cast(batch, tf.float32) + tf.add_n(model.losses or [0.0]) / replicas
            objective = optimizer.get_scaled_loss(objective) if scaled else objective
        gradients = tape.gradient(objective, model.trainable_variables)
        gradients = optimizer.get_unscaled_gradients(gradients) if scaled else gradients
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        correct = tf.argmax(logits, -1, output_type=tf.int32) == labels
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])

    spec = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[spec, spec, tf.TensorSpec([], tf.int32)])
    def run(rows: Any, views: Any, first_step: Any) -> Any:
        sums = tf.zeros(2)
        for step in tf.range(tf.shape(rows)[0]):
            per_replica = strategy.run(replica_step, (rows[step], views[step], first_step + step))
            sums += strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return sums

    return lambda rows, views, first_step: run(
        tf.constant(rows, tf.int32), tf.constant(views, tf.int32), tf.constant(first_step, tf.int32)
    )
