"""The HTML report of finished runs: one self-contained page.

It shows scores, ε, figures, time and privacy guarantees.
"""
