"""Comparison of two runs on their common beats.

Settings, paired score differences, tests and notes.
"""
