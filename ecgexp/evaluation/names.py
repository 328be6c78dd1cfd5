"""Names of classes in metric keys, and the direction in which a metric is better."""

import re
from collections.abc import Sequence
from typing import Literal

_RENAMED = {"/": "paced"}
_BETTER_SMALL = ("loss", "expected_calibration_error", "epsilon")
_BETTER_LARGE = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "kappa",
    "jk_index",
    "sensitivity",
    "positive_predictivity",
    "specificity",
    "f1",
    "auroc",
    "auroc_macro",
    "auprc",
    "auprc_macro",
)


def better_by(metric: str) -> Literal["max", "min"] | None:
    """Return the direction in which a metric is better.

    Args:
      metric: Its key, with or without its split: `loss`, `validation/f1/V`, `privacy/epsilon`.

    Returns:
      `max`, `min`, or None if it is unknown, so that the user must specify it.
    """
    parts = metric.split("/")
    if "clients" in parts[:2]:
        return "max" if parts[-1].startswith(("accuracy_", "macro_f1_")) else None
    name = (
        parts[1] if parts[0] in ("test", "validation", "privacy") and len(parts) > 1 else parts[0]
    )
    return "min" if name in _BETTER_SMALL else "max" if name in _BETTER_LARGE else None


def metric_name(class_name: str) -> str:
    """Return the name of a class in metric keys such as `f1/<name>`.

    `/` separates the parts of a key, so that MIT-BIH's symbol for a paced beat becomes `paced`.
    Letters, digits, `_`, `-` and spaces are unchanged; any other character becomes `x` and its
    hexadecimal code, because MLflow refuses most of them: `!` is `x21`.

    Args:
      class_name: Name of the class in the label grouping.

    Returns:
      The name.

    Example:
      >>> metric_name("/"), metric_name("V")
      ('paced', 'V')
    """
    return _RENAMED.get(class_name) or re.sub(
        r"[^A-Za-z0-9_ \-]", lambda match: f"x{ord(match[0]):02x}", class_name
    )


def metric_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return `metric_name` of each class.

    Args:
      class_names: Names of the classes in the label grouping.

    Returns:
      The names, in the same order.

    Raises:
      ValueError: Two classes would have the same name.
    """
    owners: dict[str, str] = {}
    for class_name in class_names:
        if (other := owners.setdefault(metric_name(class_name), class_name)) != class_name:
            raise ValueError(
                f"the classes {other} and {class_name} would share the metric name "
                f"{metric_name(class_name)}; rename one"
            )
    return tuple(metric_name(name) for name in class_names)
