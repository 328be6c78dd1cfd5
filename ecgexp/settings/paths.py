"""Settings that are paths or addresses: resolved and checked when the configuration is composed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from ecgexp.settings.declaration import ConfigError

LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes, of Linux's file systems
SQLITE = "sqlite:///"
DEFAULT_STORE_FILE = "mlruns/mlflow.db"  # of runs and commands that name no other store
DEFAULT_STORE = f"{SQLITE}{DEFAULT_STORE_FILE}"
DEFAULT_RUNS_DIR = "outputs"  # as conf/config.yaml names it to Hydra
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):/?", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_WRITTEN = ("cache_dir", "artifact_root")  # settings that name a folder which a run writes to
_base: ContextVar[Path | None] = ContextVar("base", default=None)


@contextmanager
def counted_from(folder: Path | None) -> Iterator[None]:
    """Resolve relative paths in settings built within the block against `folder`.

    With None, relative paths stay relative.
    """
    token = _base.set(folder)
    try:
        yield
    finally:
        _base.reset(token)


def scheme_of(text: str) -> str:
    """Return the lowercase scheme of an address; empty for a path, also with a drive letter."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else ""


def check_inside(setting: str, text: str) -> None:
    """Reject a path that is not below its folder.

    Args:
      setting: The setting as the user writes it.
      text: Its value.

    Raises:
      ConfigError: The path is absolute, contains `..`, or has a name that no file system accepts.
    """
    parts = PurePath(text).parts
    if text.startswith(("/", "\\", "~")) or ".." in parts or _DRIVE.match(text):
        raise ConfigError(
            f"{setting}={text[:LONGEST_NAME]}: the path leaves its folder; use a relative path "
            "without .."
        )
    if (
        not text
        or not text.isprintable()
        or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts)
    ):
        raise ConfigError(
            f"{setting}={text[:LONGEST_NAME]!r}: no file can have that name; use a short, "
            "printable name"
        )


def check_folders(value: Any, where: str = "") -> None:
    """Reject settings that name a folder to which the run could not write.

    Args:
      value: A settings object; its nested settings are checked too.
      where: Position of `value` in the configuration.

    Raises:
      ConfigError: A folder cannot be written; the message names the setting and the obstacle.
    """
    for field in fields(value) if is_dataclass(value) else ():
        child, name = getattr(value, field.name), f"{where}.{field.name}" if where else field.name
        if field.name in _WRITTEN and child is not None and not scheme_of(str(child)):
            _check_folder(name, Path(child))
        elif is_dataclass(child):
            check_folders(child, name)


def _check_folder(setting: str, folder: Path) -> None:
    shown = {
        "dataset": "data.cache_dir= with a folder that can be written to, or dataset.cache_dir=null"
    }.get(setting.partition(".")[0], f"{setting}= with a folder that can be written to")
    there = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path)
    )
    why = None
    if there.is_symlink() and not there.exists():
        why = f"{there} is a link to what does not exist"
    elif not there.is_dir():
        why = f"{there} is not a folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} cannot be written to"
    if why is not None:
        raise ConfigError(f"{setting}={folder}: {why}; use {shown}")


def _usable(value: Any) -> Any:
    """Reject text that the file system or a one-line message cannot hold."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        return value
    problem = None
    if not text.strip():
        problem = "name a place; it is empty"
    elif not text.isprintable():  # line breaks, NUL, bytes that are not UTF-8
        problem = "have printable characters only"
    elif not _encodes(text):
        problem = "be a name that this locale can encode"
    elif len(text.encode()) > LONGEST_PATH or any(
        len(part.encode()) > LONGEST_NAME for part in text.split("/")
    ):
        problem = f"have at most {LONGEST_NAME} bytes in each name"
    elif _DRIVE.match(text) and os.name != "nt":
        problem = "be a path of this machine, which has no drives"
    if problem:
        raise PydanticCustomError("path", "Input should {problem}", {"problem": problem})
    return text


def _encodes(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeError:
        return False
    return True


def _resolved(path: Path) -> Path:
    base = _base.get()
    return path if base is None else base / path.expanduser()


def _local(value: Any) -> Any:
    """Reject addresses with a scheme in a setting that names a local folder."""
    text = _usable(value)
    scheme = scheme_of(text) if isinstance(text, str) else ""
    if scheme and "//" in text:
        raise PydanticCustomError("path", "Input should name a folder of this machine")
    return text


def _resolved_address(text: str) -> str:
    """Return an address with a lowercase scheme; resolve paths and the files of SQLite stores."""
    scheme = scheme_of(text)
    if scheme.partition("+")[0] == "sqlite" and text[: len(scheme)] == scheme:
        file = text.removeprefix(SQLITE)
        if not text.startswith(SQLITE) or not file or ":memory:" in file or "?" in file:
            return text  # rejected when the store is opened
        return f"{SQLITE}{_resolved(Path(file))}"
    if scheme:
        return scheme + text[len(scheme) :]
    return str(_resolved(Path(text)))


def _resolved_uri(text: str) -> str:
    return _resolved_address(text) if scheme_of(text) else text


Folder = Annotated[Path, BeforeValidator(_local), AfterValidator(_resolved)]
"""A folder on this machine."""

Place = Annotated[str, BeforeValidator(_usable), AfterValidator(_resolved_address)]
"""A folder on this machine, or the address of an object store with any scheme of MLflow."""

Address = Annotated[str, BeforeValidator(_usable), AfterValidator(_resolved_uri)]
"""The address of a store."""
