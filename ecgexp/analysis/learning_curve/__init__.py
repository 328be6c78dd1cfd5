"""How many patients are needed: a score against the number of training patients of similar runs.

`siblings` finds runs that differ in the number of training patients and the seed only, `curve`
computes means, intervals and an extrapolation. `text` shows them in a terminal and as JSON values,
and `page` as HTML with a figure.
"""
