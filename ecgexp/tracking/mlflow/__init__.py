"""The tracker that writes a run to an MLflow store, and the care of such stores.

The modules import MLflow and use its client, never its global current run. `existing_store`,
`store` and `store_tables` open a store, `tracker` and `model` write a run, `replay` completes one
from its folder, `health` finds damaged stores and runs whose process is gone. Nothing outside
`tracking` imports MLflow to write.
"""
