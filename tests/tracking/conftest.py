"""One MLflow store for all tests that do not mind sharing it; making a fresh one costs seconds."""

import pytest


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory):
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store

    base = tmp_path_factory.mktemp("store")
    return open_store(
        "sqlite:///mlruns/mlflow.db",
        artifact_root=base / "mlruns",
        experiment_name="tests",
        base_dir=base,
    )
