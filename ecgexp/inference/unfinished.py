"""The folder of a record whose annotation is not finished, from which a later command resumes."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from typing_extensions import TypedDict

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.storage.digests import digest
from ecgexp.storage.handles import lock_at_once
from ecgexp.storage.reading import read_json

_STATE, _LOCK = "unfinished.json", "lock"
_FIX = "use --overwrite to begin again"


class _State(TypedDict):
    made_from: str


def folder_of(output: Path, record_id: str) -> Path:
    """Return the folder of an unfinished record: `<output>/<record>.unfinished`."""
    return output / f"{record_id}.unfinished"


@contextmanager
def unfinished(
    output: Path, record_id: str, made_from: Mapping[str, object], *, overwrite: bool
) -> Iterator[Path]:
    """Yield the folder of an unfinished record; it is removed if the block succeeds.

    It is kept if the command is interrupted, also by a signal that cannot be handled, and removed
    if the record is refused (`DataError`), with folders that were created for it.

    Args:
      output: The folder of the results; created if it is missing.
      record_id: The record.
      made_from: All that determines the annotations, as JSON values.
      overwrite: Whether to begin again where a folder is left of an interrupted command.

    Raises:
      DataError: The folder was begun with something else, or another process works in it.
    """
    folder, state = folder_of(output, record_id), {"made_from": digest(dict(made_from))}
    created = [each for each in (output, *output.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            lock_at_once(handle)
        except OSError as error:
            raise DataError(
                f"{folder}: another process annotates this record; wait for it, or use another "
                "--output"
            ) from error
        if overwrite:
            _empty(folder)
        elif (folder / _STATE).exists() and (
            read_json(folder / _STATE, _State, fix=_FIX)["made_from"] != state["made_from"]
        ):
            raise ConfigError(f"{folder}: was begun with another model, setting or signal; {_FIX}")
        with replacing(folder / _STATE) as part:
            part.write_text(json.dumps(state), encoding="utf-8")
        try:
            yield folder
        except (ConfigError, DataError):
            shutil.rmtree(folder, ignore_errors=True)
            for each in created:
                with suppress(OSError):  # it has other files
                    each.rmdir()
            raise
    finally:
        os.close(handle)
    shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != _LOCK:
            path.unlink()
