"""Federated training with TensorFlow Federated (TFF); no other package imports TFF."""
