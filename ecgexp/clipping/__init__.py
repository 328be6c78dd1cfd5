"""Exact per-example gradient clipping for Keras models; `base.build_clipper` is the door."""
