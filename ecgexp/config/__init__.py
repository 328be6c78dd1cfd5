"""Hydra composition of the YAML groups into an `Experiment`.

`compose` loads and builds a configuration, `location` finds the groups, `untrusted_overrides`
refuses values through which Hydra would run code, and `sweep_settings` declares what a multirun
adds. Hydra is imported here, in `sweeps` and in `cli` only.
"""
