"""Training on the pooled beats without privacy: the reference for the other trainers."""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ecgexp.augmentation.base import Augmentation
from ecgexp.models.base import restart_dropout
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.unit_checks import Overlap
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import Count, settings
from ecgexp.training.base import (
    EpochResult,
    OnProgress,
    TrainerState,
    TrainingData,
    assign_arrays,
    to_arrays,
)
from ecgexp.training.loss import LossFn, classes_of
from ecgexp.training.optimizer import OptimizerSettings

if TYPE_CHECKING:
    import tensorflow as tf

# One compiled call of several steps avoids Python overhead; a signal or a checkpoint waits for the
# end of the call.
_STEPS_PER_CALL = 4


@settings
class Centralized(OptimizerSettings):
    """Mini-batch training on shuffled epochs.

    Attributes:
      epochs: passes over the training rows (and their augmented copies).
      batch_size: rows per step, over all devices together; the last batch of an epoch may be
        smaller.

    Example:
      >>> Centralized(epochs=5).needs_clients
      False
    """

    epochs: Count = 20
    batch_size: Count = 256

    step_name: ClassVar[str] = "epoch"
    privacy_units: ClassVar[frozenset[Unit]] = frozenset()
    needs_privacy: ClassVar[bool] = False
    needs_clients: ClassVar[bool] = False
    learning_rate_setting: ClassVar[str] = "learning_rate"

    @property
    def num_steps(self) -> int:
        """Number of epochs."""
        return self.epochs

    def check_installed(self) -> None:
        """See `Trainer.check_installed`; every installation has what it needs."""

    def check_privacy(self, privacy: Privacy) -> None:
        """See `Trainer.check_privacy`; every setting is accepted."""

    def plan(self, privacy: Privacy, data: TrainingData) -> PrivacyPlan:
        """Return a plan without clipping or noise: the run is not private, its ε is infinite."""
        return self.plan_of(privacy, len(data.train))

    def plan_of(
        self, privacy: Privacy, num_units: int, overlap: Overlap | None = None
    ) -> PrivacyPlan:
        """See `Trainer.plan_of`; the units are beats."""
        return privacy.plan(
            num_units=num_units,
            expected_batch_size=min(self.batch_size, num_units),
            epochs=self.epochs,
        )

    def train(
        self,
        data: TrainingData,
        *,
        build_model: "Callable[[], tf.keras.Model]",
        loss: LossFn,
        augmentation: Augmentation,
        ledger: Ledger,
        seeds: Seeds,
        on_progress: OnProgress,
        resume_from: TrainerState | None = None,
    ) -> Iterator[EpochResult]:
        """See `Trainer.train`; yields once per epoch."""
        import tensorflow as tf

        rows, views = augmentation.expand(data.labels[data.train], data.class_names)
        rows = data.train[rows]
        steps_per_epoch = self.steps_per_epoch(len(rows))
        with tf.distribute.get_strategy().scope():
            model = build_model()
            optimizer = self.build_optimizer(steps_per_epoch * self.epochs)
            optimizer.build(model.trainable_variables)
        first_epoch, begun = 1, _Begun()
        if resume_from is not None:
            assign_arrays(model, optimizer, resume_from.arrays)
            first_epoch, begun = resume_from.meta["epoch"] + 1, _Begun(*resume_from.meta["begun"])
        run_steps = compiled_steps(
            model, optimizer, data, loss, augmentation.build(), seeds.integer("augmentation")
        )
        for epoch in range(first_epoch, self.epochs + 1):
            state = functools.partial(_state, epoch - 1, model, optimizer)
            metrics = self.run_epoch(
                epoch, model, run_steps, rows, views, seeds, on_progress, begun=begun, state=state
            )
            yield finished_epoch(epoch, model, optimizer, metrics)
            begun = _Begun()

    def steps_per_epoch(self, num_rows: int) -> int:
        """Return the batches of a pass; a single remaining row joins the batch before it.

        TensorFlow 2.15 with oneDNN corrupts the heap in the gradient of a strided convolution over
        one row.
        """
        full, rest = divmod(num_rows, self.batch_size)
        return max(1, full + (rest > 1))

    def run_epoch(
        self,
        epoch: int,
        model: "tf.keras.Model",
        run_steps: Any,
        rows: np.ndarray,
        views: np.ndarray,
        seeds: Seeds,
        on_progress: OnProgress,
        *,
        begun: "_Begun | None" = None,
        state: Callable[["_Begun"], TrainerState] | None = None,
    ) -> dict[str, float]:
        """Train one pass over `rows`, in the order and with the random numbers of `epoch`.

        Args:
          epoch: 1-based number of the pass.
          model: the model that `run_steps` trains.
          run_steps: a function made by `compiled_steps`.
          rows: (num_rows,) indices into the beats.
          views: (num_rows,) view numbers.
          seeds: the random streams of the run.
          on_progress: called with the progress.
          begun: the part of the epoch that is finished already.
          state: returns the state from which training can be resumed after such a part; passed to
            `on_progress`.

        Returns:
          Mean loss and accuracy during training.
        """
        order = seeds.generator(f"order/{epoch}").permutation(len(rows))
        rows, views = rows[order], views[order]
        begun = begun or _Begun()
        metrics: dict[str, float] = {}
        sums, total = np.array([begun.loss, begun.correct]), self.steps_per_epoch(len(rows))
        for begin, end, width in self._calls(len(rows)):
            if begin < begun.steps:
                continue
            # Restarted before every call, so that a resumed epoch has no dropout state to restore.
            restart_dropout(model, seeds.integer(f"dropout/{epoch}/{begin}"))
            chunk = slice(begin * self.batch_size, begin * self.batch_size + (end - begin) * width)
            sums += run_steps(
                rows[chunk].reshape(-1, width),
                views[chunk].reshape(-1, width),
                (epoch - 1) * total + begin,
            ).numpy()
            metrics = {"loss": float(sums[0] / chunk.stop), "accuracy": float(sums[1] / chunk.stop)}
            done = _Begun(end, *sums.tolist())
            on_progress(
                done=end,
                total=total,
                metrics=metrics,
                state=None if state is None else functools.partial(state, done),
            )
        return metrics

    def _calls(self, num_rows: int) -> list[tuple[int, int, int]]:
        """Return (first step, step after the last, rows per step) of each compiled call."""
        size, total = self.batch_size, self.steps_per_epoch(num_rows)
        full = total if total * size == num_rows else total - 1
        calls = [
            (at, min(at + _STEPS_PER_CALL, full), size) for at in range(0, full, _STEPS_PER_CALL)
        ]
        return calls + ([(full, total, num_rows - full * size)] if total > full else [])


class _Begun(NamedTuple):
    """The finished part of an epoch: steps, summed loss, correctly classified rows."""

    steps: int = 0
    loss: float = 0.0
    correct: float = 0.0


def _state(
    epoch: int, model: "tf.keras.Model", optimizer: Any, begun: _Begun | None = None
) -> TrainerState:
    """Return the state after the 1-based `epoch` and a part of the next."""
    return TrainerState(
        arrays=to_arrays(model, optimizer), meta={"epoch": epoch, "begun": list(begun or _Begun())}
    )


def finished_epoch(
    epoch: int, model: "tf.keras.Model", optimizer: Any, metrics: dict[str, float]
) -> EpochResult:
    """Return the result of the 1-based `epoch`; weights and checkpoint are read on demand.

    Args:
      epoch: 1-based epoch.
      model: the trained model.
      optimizer: its optimizer.
      metrics: training metrics of the epoch.
    """
    return EpochResult(
        step=epoch,
        weights=model.get_weights,
        train_metrics=metrics,
        dp_event=None,
        checkpoint=functools.partial(_state, epoch, model, optimizer),
    )


def compiled_steps(
    model: "tf.keras.Model",
    optimizer: Any,
    data: TrainingData,
    loss: Any,
    augment: Any,
    augmentation_seed: int,
) -> Any:
    """Compile several training steps into one function.

    Args:
      model: the model to train, in place.
      optimizer: its optimizer, built.
      data: the resident features and labels.
      loss: per example.
      augment: see `Augmentation.build`.
      augmentation_seed: the first of the two seeds of the augmentation.

    Returns:
      `run(rows (steps, batch), views (steps, batch), first_step) -> (summed loss, correct rows)`.
    """
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
        features = augment(
            resident.gather(rows), views, tf.stack([augmentation_seed, step * replicas + replica])
        )
        labels = tf.gather(resident.labels, rows)
        with tf.GradientTape() as tape:
            logits = model(features, training=True)
            losses = loss(labels, logits)
            # The optimizer sums over the replicas, so the loss is divided by the size of the whole
            # batch, and the penalty, which is a term of one model, by the number of replicas.
            objective = (
                tf.reduce_sum(losses) / tf.cast(batch, tf.float32)
                + tf.add_n(model.losses or [0.0]) / replicas
            )
            objective = optimizer.get_scaled_loss(objective) if scaled else objective
        gradients = tape.gradient(objective, model.trainable_variables)
        gradients = optimizer.get_unscaled_gradients(gradients) if scaled else gradients
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        correct = tf.argmax(logits, -1, output_type=tf.int32) == classes_of(labels)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.float32))])

    spec = tf.TensorSpec([None, None], tf.int32)

    # A loop without AutoGraph, whose conversion took most of the time of a first call.
    @tf.function(input_signature=[spec, spec, tf.TensorSpec([], tf.int32)], autograph=False)
    def run(rows: Any, views: Any, first_step: Any) -> Any:
        def add_step(step: Any, sums: Any) -> Any:
            per_replica = strategy.run(replica_step, (rows[step], views[step], first_step + step))
            return step + 1, sums + strategy.reduce(
                tf.distribute.ReduceOp.SUM, per_replica, axis=None
            )

        return tf.while_loop(
            lambda step, _: step < tf.shape(rows)[0], add_step, (tf.constant(0), tf.zeros(2))
        )[1]

    return lambda rows, views, first_step: run(
        tf.constant(rows, tf.int32), tf.constant(views, tf.int32), tf.constant(first_step, tf.int32)
    )
