"""Losses: one value per example, so that the caller can average, clip or weight them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from ecgexp.clipping.losses import RowWiseLoss
from ecgexp.settings.declaration import Fraction, Number, settings
from ecgexp.settings.paths import Folder
from ecgexp.settings.plugins import is_foreign

if TYPE_CHECKING:
    import tensorflow as tf

LossFn = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]

ClassWeights = Literal["none", "sqrt", "balanced"]


class Loss(Protocol):
    """The settings of a loss."""

    @property
    def class_weights(self) -> ClassWeights:
        """How classes are weighted by their number of training beats; see `CrossEntropy`."""
        ...

    def build(self, class_counts: np.ndarray) -> LossFn:
        """Return `loss(labels (batch,), logits (batch, num_classes)) -> (batch,)` float32.

        Args:
          class_counts: (num_classes,) beats of each class in the training split.
        """
        ...


def build_loss(settings: Loss, class_counts: np.ndarray) -> LossFn:
    """Build a loss and, if it is a plug-in's, test that it has one value for each example.

    **Guarantees**: a plug-in's loss knows the class counts only if its `class_weights` say so,
    which the privacy statement then lists. Whatever it says of itself, it is not taken to be
    row-wise, so that clipping computes it for one unit at a time
    (`tests/tensorflow/training/test_plugin_loss.py`).

    Args:
      settings: of the loss.
      class_counts: (num_classes,) beats of each class in the training split.

    Returns:
      The loss; see `Loss.build`.

    Raises:
      ConfigError: its value of one example depends on another one, or it is reduced.
    """
    if not is_foreign(settings):
        return settings.build(class_counts)
    from ecgexp.clipping.probe import check_loss_apart

    counts = class_counts if settings.class_weights != "none" else np.ones_like(class_counts)
    own = settings.build(counts)

    def loss(labels: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
        return own(labels, logits)

    check_loss_apart(loss, num_classes=len(class_counts))
    return loss


@settings
class CrossEntropy:
    """Softmax cross-entropy, optionally focal (Lin et al. 2017) and weighted by class.

    Attributes:
      class_weights: `balanced` weights a class by num_train / (num_classes * its training beats),
        so that all classes have the same total weight; `sqrt` uses the square root of that, for
        classes with so few beats that `balanced` would let them dominate. The weights are computed
        from the training labels without noise: the privacy statement lists them as not covered.
      focal_gamma: 0 is plain cross-entropy; 2 is the usual focal loss.
      label_smoothing: probability mass distributed evenly over the classes.

    Example:
      >>> CrossEntropy(focal_gamma=2.0, class_weights="sqrt").class_weights
      'sqrt'
    """

    class_weights: ClassWeights = "none"
    focal_gamma: Annotated[Number, Field(ge=0, le=100)] = 0.0
    label_smoothing: Fraction = 0.0

    def weights(self, class_counts: np.ndarray) -> np.ndarray:
        """Return the weight of each class.

        Args:
          class_counts: (num_classes,) beats of each class in the training split.

        Returns:
          (num_classes,) float32.
        """
        if self.class_weights == "none":
            return np.ones(len(class_counts), np.float32)
        balanced = class_counts.sum() / (len(class_counts) * np.maximum(class_counts, 1))
        return (np.sqrt(balanced) if self.class_weights == "sqrt" else balanced).astype(np.float32)

    def build(self, class_counts: np.ndarray) -> LossFn:
        """Return `loss(labels (batch,), logits (batch, num_classes)) -> (batch,)` float32.

        Args:
          class_counts: (num_classes,) beats of each class in the training split.
        """
        import tensorflow as tf

        # A NumPy array, which every kind of TensorFlow graph accepts.
        class_weights = self.weights(class_counts)
        num_classes, smoothing, gamma = len(class_counts), self.label_smoothing, self.focal_gamma

        def loss(labels: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
            targets = tf.one_hot(
                labels,
                num_classes,
                on_value=1 - smoothing + smoothing / num_classes,
                off_value=smoothing / num_classes,
            )
            log_probabilities = tf.nn.log_softmax(logits)
            terms = -targets * log_probabilities
            if gamma:
                terms *= (1 - tf.exp(log_probabilities)) ** gamma
            return tf.reduce_sum(terms, axis=-1) * tf.gather(class_weights, labels)

        return RowWiseLoss(loss)


@settings
class Distillation:
    """Cross-entropy to the label and to the probabilities of a teacher (Hinton et al. 2015).

    The target of a beat is `(1 - weight) * label + weight * teacher`, where the label has the
    probability 1 for its class. The teacher is a constant: it is not trained.

    Attributes:
      teacher: folder of a finished run, whose model is the teacher; has to be given. Its patients
        are none that the run scores and, under a privacy setting, none that it trains on.
      weight: of the teacher; 1 uses no labels.

    Example:
      >>> Distillation(teacher="outputs/ecgexp/teacher").weight
      0.5
    """

    teacher: Folder | None = None
    weight: Annotated[Number, Field(gt=0, le=1)] = 0.5

    class_weights: ClassVar[ClassWeights] = "none"

    def build(self, class_counts: np.ndarray) -> LossFn:
        """Return `loss(labels (batch, 1 + classes), logits) -> (batch,)` float32.

        Args:
          class_counts: only their number is used.

        Returns:
          The loss; its labels are those of `with_teacher`.
        """
        import tensorflow as tf

        num_classes, weight = len(class_counts), self.weight

        def loss(labels: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
            if labels.shape.rank != 2 or labels.shape[-1] != 1 + num_classes:
                raise ValueError(f"labels of the shape {labels.shape} have no teacher")
            own = tf.one_hot(tf.cast(labels[..., 0], tf.int32), num_classes)
            targets = (1 - weight) * own + weight * labels[..., 1:]
            return -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=-1)

        return RowWiseLoss(loss)


def with_teacher(labels: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Return the labels that `Distillation` takes: one array, as every loss takes one.

    Args:
      labels: (num_beats,) class indices.
      teacher: (num_beats, classes) probabilities.

    Returns:
      (num_beats, 1 + classes) float32: the class index, and the probabilities of the teacher.
    """
    return np.concatenate([labels[:, None], teacher], axis=1).astype(np.float32)


def classes_of(labels: Any) -> Any:
    """Return (batch,) int32 class indices of labels of any loss, `(batch,)` or `with_teacher`."""
    import tensorflow as tf

    return labels if labels.shape.rank == 1 else tf.cast(labels[:, 0], tf.int32)
