"""The tracker of a run in Weights & Biases, offline by default."""
