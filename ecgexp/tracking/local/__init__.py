"""The tracker that writes a run to its own folder, and the files of that folder.

`run.json`, `result.json`, `metrics.jsonl`, `.hydra/` and the lock are read and written here. No
module of this package imports MLflow; `tracking.mlflow` builds on it.
"""
