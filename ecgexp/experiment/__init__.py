"""One run, from its settings to its artifacts.

`experiment.Experiment` is what a run is made of and `run.run` runs it: `data` loads the beats and
assigns them, `training_loop` trains, evaluates and saves, `artifacts` writes what is left for
readers, and `federated_baselines` trains the models that a federated one is compared with.
"""
