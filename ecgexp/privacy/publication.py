"""What a run publishes of its outputs, by the table in `outputs`.

An output that is not in the table is withheld.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ecgexp.privacy.outputs import OWNER_FOLDERS, TABLE, Kind, Output

_METRICS = ("metrics", "undefined")  # keys of result.json


def find(kind: Kind, name: str) -> Output | None:
    """Find the entry of the table that applies to an output.

    Args:
      kind: kind of output.
      name: its name, as described in `Output.name`.

    Returns:
      The first matching entry; None where there is none.
    """
    return next(
        (entry for entry in TABLE if entry.kind == kind and fnmatchcase(name, entry.name)), None
    )


def is_published(kind: Kind, name: str) -> bool:
    """Check whether a run with a privacy guarantee publishes an output.

    **Guarantees**: False for every output that is not in the table, so a new one is withheld until
    it is listed (`tests/unit/privacy/test_outputs.py`, which also checks that runs write nothing
    that is not listed).

    Args:
      kind: kind of output.
      name: its name, as described in `Output.name`.
    """
    entry = find(kind, name)
    return entry is not None and not entry.is_withheld


def divide(values: Mapping[str, Any], *, under: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide nested result keys into published and withheld ones.

    Args:
      values: `result.json`, or a part of it; keys below `metrics` and `undefined` are treated as
        metrics.
      under: prefix of the part, e.g. `data/`.

    Returns:
      The published values and the withheld ones, both with the nesting of `values`.
    """
    published: dict[str, Any] = {}
    withheld: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{under}{key}"
        if not isinstance(value, Mapping) or (not value and name not in _METRICS):
            (published if is_published("result key", name) else withheld)[key] = value
            continue
        one, other = divide_metrics(value) if name in _METRICS else divide(value, under=f"{name}/")
        if one or not other:
            published[key] = one
        if other:
            withheld[key] = other
    return published, withheld


def divide_metrics(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide metrics into published and withheld ones."""
    published = {name: value for name, value in metrics.items() if is_published("metric", name)}
    return published, {name: value for name, value in metrics.items() if name not in published}


def withheld_reasons() -> list[str]:
    """Return the reasons of all outputs in `private/`, each once."""
    entries = (
        entry
        for entry in TABLE
        if entry.is_withheld and entry.kind in ("file", "metric", "tag", "result key")
    )
    return list(dict.fromkeys(entry.reason for entry in entries if entry.name not in OWNER_FOLDERS))


def markdown() -> str:
    """Return the table for the documentation; a row has all outputs of a kind with one reason."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for entry in TABLE:
        where = (
            ("owner only" if entry.name in OWNER_FOLDERS else "private/")
            if entry.is_withheld
            else "published"
        )
        rows.setdefault((entry.kind, entry.coverage, where, entry.reason), []).append(
            f"`{entry.name}`"
        )
    lines = ["| what | coverage | under a guarantee | why |", "| --- | --- | --- | --- |"]
    for (kind, coverage, where, reason), names in rows.items():
        lines.append(f"| {kind} {', '.join(names)} | {coverage} | {where} | {reason} |")
    return "\n".join(lines) + "\n"
