"""Where the YAML groups are: `conf/` beside the package in a checkout, `ecgexp/conf/` in an installed wheel."""

from pathlib import Path

import ecgexp

_PACKAGE = Path(ecgexp.__file__).absolute().parent


def config_dir() -> Path:
    """The folder of `config.yaml` and of the configuration groups.

    Guarantees (`tests/end_to_end/test_wheel.py`): it belongs to the package that is imported. No folder of the working directory and no
    module named `conf` takes its place.

    Returns:
      Its absolute path.
    """
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parent / "conf"
