"""Settings of MLflow.

Few log lines, and short timeouts for a server that does not answer.
"""

import logging
import os

ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A model carries a wheel and exact requirements, not the uv project of the working directory.
    "MLFLOW_UV_AUTO_DETECT": "false",
    # An unreachable server delays a run by at most two such waits a minute (see `mirrored`), not by
    # MLflow's 7 x 120 s.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def quieten() -> None:
    """Set MLflow's environment variables that the user has not set, and its log levels.

    MLflow reads these settings only from the environment, when it is imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Warns that uv's environments have no pip.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # Logs the traceback of an error that it raises as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
