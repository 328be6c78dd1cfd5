"""The names of the validation scores of an epoch, known before any beat is scored."""

from collections.abc import Collection

from ecgexp.evaluation.confusion import has_jk_index
from ecgexp.evaluation.names import metric_names

_OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "loss")
_OF_A_CLASS = ("support", "sensitivity", "positive_predictivity", "specificity", "f1")
_OF_CLIENTS = (
    "clients/accuracy_mean",
    "clients/accuracy_worst_decile",
    "clients/accuracy_best",
)


def epoch_score_names(class_names: Collection[str], *, has_clients: bool) -> frozenset[str]:
    """Return the names of the validation scores that every epoch or round has.

    **Guarantees**: these are the keys of `metrics.quick_scores`, and with clients those of
    `clients.spread` (`tests/unit/evaluation/test_score_names.py`).

    Args:
      class_names: names of the classes.
      has_clients: whether the beats are assigned to clients.

    Example:
      >>> sorted(epoch_score_names(["N", "S"], has_clients=False))[:3]
      ['accuracy', 'balanced_accuracy', 'f1/N']
    """
    classes = list(class_names)
    of_classes = {f"{score}/{name}" for name in metric_names(classes) for score in _OF_A_CLASS}
    jk_index = {"jk_index"} if has_jk_index(classes) else set()
    return frozenset({*_OVERALL, *of_classes, *jk_index, *(_OF_CLIENTS if has_clients else ())})
