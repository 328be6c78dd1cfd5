"""Exact per-example gradient clipping for Keras models; `build.build_clipper` makes a clipper."""
