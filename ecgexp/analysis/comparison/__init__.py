"""Comparison of two runs on their common beats.

It holds the settings that differ, paired score differences with intervals, tests, and notes.
"""
