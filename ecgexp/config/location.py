"""A user's own folder of YAML files, that of `--config-dir`, among the arguments of a command."""

from collections.abc import Sequence
from pathlib import Path

from ecgexp.settings.declaration import ConfigError

_FLAGS = ("--config-dir", "-cd")


def own_folder(name: str | Path) -> Path:
    """Return the absolute path of a user's own folder of YAML files.

    Args:
      name: as typed after `--config-dir`; relative to the working folder.

    Raises:
      ConfigError: there is no such folder.
    """
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(
            f"--config-dir {name}: there is no folder {folder}; use the folder that holds "
            "experiment/NAME.yaml"
        )
    return folder


def typed_folder(words: Sequence[str]) -> str | None:
    """Return the value of `--config-dir` among the arguments of a command; None without one."""
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in _FLAGS:
            return value if equals else next(iter(words[place + 1 :]), "")
    return None


def overrides_in(words: Sequence[str]) -> list[str]:
    """Return the overrides among the arguments of a command, without its options."""
    folder = typed_folder(words)
    return [word for word in words if not word.startswith("-") and word != folder]
