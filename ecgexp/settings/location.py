"""The folder of the shipped YAML files: `conf/` in a checkout, `ecgexp/conf/` in a wheel."""

from pathlib import Path

import ecgexp

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
