"""The files of a stored run, read in place, or downloaded until the process ends."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import resolved

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MODEL = "model"
_PARTIAL = ".artifact.uploading."  # as MLflow names them


class KeptFiles(Protocol):
    """Finds the files of one run."""

    def find(self, path: str) -> Path | None:
        """Return the file or folder at `path` inside the run; None where there is none."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """The files of a run in its own folder."""

    folder: Path

    def find(self, path: str) -> Path | None:
        """See `KeptFiles.find`.

        Raises:
          DataError: a link leads out of the folder.
        """
        file = self.folder / path
        if not file.exists():
            return None
        if not resolved(file).is_relative_to(self._root):
            raise DataError(
                f"{file} leads out of the run's folder; replace the link by the file itself if you "
                "trust it"
            )
        return file

    @cached_property
    def _root(self) -> Path:
        return resolved(self.folder)


@dataclass(frozen=True)
class StoreFiles:
    """The files of a run in an MLflow store whose artifacts are at `location`.

    Args:
      client: returns the client of the store, which is needed only for files of the model, and for
        files that are not on this machine.
      run_id: id of the run.
      location: address of its artifacts.
    """

    client: "Callable[[], MlflowClient]"
    run_id: str
    location: str

    def find(self, path: str) -> Path | None:
        """See `KeptFiles.find`."""
        if path.partition("/")[0] == _MODEL:
            return self._find_in_model(path)
        if self._here is not None:
            return self._here.find(path)
        folder = path.rpartition("/")[0]
        if path not in (
            item.path for item in self.client().list_artifacts(self.run_id, folder or None)
        ):
            return None
        return Path(self.client().download_artifacts(self.run_id, path, _room_for(self.run_id)))

    @cached_property
    def _here(self) -> FolderFiles | None:
        kept = _on_this_machine(self.location)
        return None if kept is None else FolderFiles(kept)

    def _find_in_model(self, path: str) -> Path | None:
        """Find a file of the model, which MLflow stores apart from the artifacts of the run."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        client = self.client()
        outputs = client.get_run(self.run_id).outputs
        if outputs is None or not outputs.model_outputs:
            return None
        try:
            logged = client.get_logged_model(outputs.model_outputs[-1].model_id)
            folder = _on_this_machine(f"{logged.artifact_location}/artifacts")
            if folder is None:
                uri, room = (
                    f"{logged.artifact_location}/artifacts/{_MODEL}",
                    _room_for(f"{self.run_id}-model"),
                )
                folder = Path(
                    download_artifacts(
                        artifact_uri=uri, dst_path=room, tracking_uri=client.tracking_uri
                    )
                ).parent
        except (MlflowException, OSError):  # it was deleted
            return None
        return FolderFiles(folder).find(path)


def remove_partial_uploads(location: str, *, older_than_s: float = 0.0) -> None:
    """Remove partial copies that killed processes left at `location`, if that is on this machine.

    Args:
      location: of the artifacts of a run whose folder this process holds, so that no other process
        uploads there.
      older_than_s: age in seconds below which files stay, where another process may still upload.
    """
    folder = _on_this_machine(location)
    for path in [] if folder is None else list(folder.rglob(f"{_PARTIAL}*")):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime >= older_than_s:
                path.unlink()


def _on_this_machine(location: str) -> Path | None:
    """The folder of a `file:` address.

    None for another machine. MLflow itself would copy it at every call.
    """
    parts = urlsplit(location)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme else location)


@cache
def _downloads() -> "tempfile.TemporaryDirectory[str]":
    """The folder of downloaded files, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="ecgexp-")


def _room_for(name: str) -> str:
    room = Path(_downloads().name) / name
    room.mkdir(exist_ok=True)
    return str(room)
