"""Experiments in ECG heartbeat classification: centralized, differentially private, federated."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgexp.api import load_run as load_run
    from ecgexp.api import run as run
    from ecgexp.api import runs as runs

__version__ = "0.2.0"

TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables that switch off what libraries report about their use; set before they are imported.

A value that the user has set is kept.
"""

for _name, _value in TELEMETRY.items():
    os.environ.setdefault(_name, _value)

_FROM_API = ("load_run", "run", "runs")


def __getattr__(name: str) -> Any:
    """Load `ecgexp.run`, `ecgexp.load_run` or `ecgexp.runs` when it is first used."""
    if name not in _FROM_API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM_API})
