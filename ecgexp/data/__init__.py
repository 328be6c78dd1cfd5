"""Databases, their records, and the beats that are cut from them; numpy and wfdb, no TensorFlow."""
