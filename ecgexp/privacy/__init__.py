"""Differential privacy: plan, sampling, noise, accounting, ledger and statement of a run.

`plan` turns the settings into one frozen plan; `sampling` and `noise` execute it, `ledger` records
its events before they run, `accounting` computes ε from them, and `statement` says what the
guarantee covers. `outputs` lists every output of a run with its coverage. The package imports no
TensorFlow; clipping is in `ecgexp.clipping`, training in `ecgexp.training`.
"""
