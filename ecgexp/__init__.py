"""ecgexp: ECG heartbeat experiments that can be believed, trained centrally, under differential privacy or federated."""

__version__ = "0.1.0"
