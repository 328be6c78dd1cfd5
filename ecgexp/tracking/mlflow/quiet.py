"""MLflow's manners: no telemetry, no chatter, and no waiting for minutes on a server that does not answer."""

import logging
import os

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is gone costs a run at most two such waits a minute (see `fanout`), instead of MLflow's 7 x 120 s.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def quieten() -> None:
    """Sets MLflow's environment variables, unless the user has set them, and the levels of its loggers.

    MLflow can be told so only through the environment, which it reads when it is imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.utils.environment").setLevel(
        logging.ERROR
    )  # regrets that uv's environments have no pip
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # shows the trace of what it raises anyway
