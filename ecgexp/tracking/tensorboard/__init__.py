"""Trackers that write TensorBoard's event files. Nothing here imports TensorFlow."""
