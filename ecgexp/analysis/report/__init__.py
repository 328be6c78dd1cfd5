"""The HTML report of finished runs, one self-contained page.

Scores, ε, time and privacy guarantees.
"""
