"""The results that the README states, made from the runs in MLflow and from nothing else."""
