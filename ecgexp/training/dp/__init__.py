"""DP-SGD on this machine (Abadi et al. 2016): units, clipped gradients, noisy steps, the trainer.

The privacy plan, its ledger, samplers and noise come from `ecgexp.privacy`, the clipping rules from
`ecgexp.clipping`. This package executes what the plan says and checks that it was executed.
"""
