"""Keeping what a run was and what came of it. Importing it costs nothing: MLflow waits for a run that tracks."""

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
