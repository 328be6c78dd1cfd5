"""Records annotated by the model of a run."""
