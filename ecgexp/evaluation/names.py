"""How a class is called in a metric's key, where the class's own name would not do."""

import re
from collections.abc import Sequence

_RENAMED = {"/": "paced"}


def metric_name(class_name: str) -> str:
    """The name of a class in metric keys such as `f1/<name>`.

    `/` separates the parts of a key, so MIT-BIH's symbol for a paced beat becomes `paced`. Letters, digits, `_`, `-`
    and blanks stay as they are; any other character becomes `x` and its hexadecimal code, because MLflow refuses most
    of them: `!` is `x21`.
    """
    return _RENAMED.get(class_name) or re.sub(r"[^A-Za-z0-9_ \-]", lambda match: f"x{ord(match[0]):02x}", class_name)


def metric_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """`metric_name` of each class.

    Raises:
      ValueError: two classes would share a key.
    """
    names = tuple(metric_name(name) for name in class_names)
    if len(set(names)) < len(names):
        raise ValueError(
            f"class_names={list(class_names)} give the metric names {list(names)}, which are not unique; rename one"
        )
    return names
