"""Analysis of finished runs: HTML report, comparison of two runs, and the results page.

The modules read runs from a store or from run folders and change nothing there. The package lies
above `tracking`, `evaluation` and `sweeps`, and below `cli`.
"""
