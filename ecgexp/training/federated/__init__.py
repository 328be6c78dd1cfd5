"""Federated training by TensorFlow Federated: the only place that knows it."""
