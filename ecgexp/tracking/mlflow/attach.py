"""Adds a file to a run that has ended, without changing its status."""

import tempfile
from pathlib import Path

from ecgexp.settings.declaration import DataError
from ecgexp.tracking.checks import check_path
from ecgexp.tracking.mlflow.existing_store import default_uri, open_existing
from ecgexp.tracking.reasons import reason


def attach(run_id: str, text: str, path: str, *, uri: str | None = None) -> None:
    """Store `text` as the artifact `path` of a run in MLflow; an artifact of that name is replaced.

    Args:
      run_id: the run's id.
      text: content of the artifact.
      path: slash-separated, inside the run.
      uri: the store; None: `default_uri()`.

    Raises:
      DataError: the store does not accept it.
    """
    folder, _, name = check_path(path).rpartition("/")
    client = open_existing(uri or default_uri())
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="ecgexp-") as scratch:
        file = Path(scratch) / name
        file.write_text(text, encoding="utf-8", errors="replace")
        try:
            client.log_artifact(run_id, str(file), folder or None)
        except (MlflowException, OSError) as error:
            raise DataError(
                f"{path} cannot be stored with run {run_id}: {reason(error)}"
            ) from error
