"""Experiments in ECG heartbeat classification: centralized, differentially private, federated."""

import os

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
