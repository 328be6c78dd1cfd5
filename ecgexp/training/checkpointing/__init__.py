"""Checkpoints of a training run: the file format and its checks, and the checkpoint manager.

It uses the ledger and the journal of `ecgexp.privacy`, and is used by `ecgexp.experiment`.
"""
