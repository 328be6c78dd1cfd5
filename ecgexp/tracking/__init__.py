"""Trackers, which store the parameters, metrics and files of a run.

`tracking.local` writes a run to its folder, `tracking.mlflow` to an MLflow store, and
`MirroredTracker` to both. The package lies below the experiment and above `settings` and `storage`.
Importing it does not import MLflow: a run that uses `tracking=mlflow` does so when it starts.
"""

from ecgexp.settings.redaction import redact, redacted
from ecgexp.tracking.base import DatasetInput, Tracker, TrackerUnavailable
from ecgexp.tracking.local.tracker import JsonlTracker
from ecgexp.tracking.memory import MemoryTracker
from ecgexp.tracking.mirrored import MirroredTracker
from ecgexp.tracking.null import NullTracker
from ecgexp.tracking.params import flatten

__all__ = [
    "DatasetInput",
    "MirroredTracker",
    "JsonlTracker",
    "MemoryTracker",
    "NullTracker",
    "Tracker",
    "TrackerUnavailable",
    "flatten",
    "redact",
    "redacted",
]
