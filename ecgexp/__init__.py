"""Experiments in ECG heartbeat classification: centralized, differentially private, federated."""

__version__ = "0.2.0"
