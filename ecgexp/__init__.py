"""ecgexp: ECG heartbeat experiments that can be believed, trained centrally or under differential privacy."""

__version__ = "0.1.0"
