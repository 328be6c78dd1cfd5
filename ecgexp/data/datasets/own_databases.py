"""All databases that a user's own folder of YAML files describes."""

from pathlib import Path

from ecgexp.data.datasets.catalog import Database, read_own_database
from ecgexp.settings.declaration import ConfigError


def own_databases(folder: Path) -> tuple[Database, ...]:
    """Return the databases that `database/*.yaml` of a folder describe.

    Args:
      folder: The folder of `--config-dir`.

    Returns:
      The databases, sorted by the names of their files.

    Raises:
      ConfigError: There is no such file, or one is no such description.
    """
    names = sorted(path.stem for path in (folder / "database").glob("*.yaml"))
    if not names:
        raise ConfigError(
            f"--config-dir={folder}: it describes no database; use a folder with "
            "database/NAME.yaml, or leave the option out"
        )
    return tuple(read_own_database(folder, name) for name in names)
