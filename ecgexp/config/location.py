"""The folders of the YAML groups: `conf/` in a checkout, `ecgexp/conf/` in an installed wheel.

A user's own folder is that of `--config-dir`.
"""

from collections.abc import Sequence
from pathlib import Path

import ecgexp
from ecgexp.settings.declaration import ConfigError

_FLAGS = ("--config-dir", "-cd")

_PACKAGE = Path(ecgexp.__file__).absolute().parent


def config_dir() -> Path:
    """Return the folder of `config.yaml` and of the configuration groups.

    **Guarantees**: the folder belongs to the imported package; no folder of the working directory
    and no module named `conf` is used instead (`tests/end_to_end/test_wheel.py`).

    Returns:
      Absolute path.
    """
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parent / "conf"


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
