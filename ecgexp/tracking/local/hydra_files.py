"""`.hydra/`.

The overrides and the composed configuration of a run, written while the run's folder is held.

Hydra itself would write them before the folder is checked, with every secret.
"""

from collections.abc import Mapping
from pathlib import Path

from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_text

FOLDER = ".hydra"


def write_notes(run_dir: Path, notes: Mapping[str, str]) -> None:
    """Write the files of `.hydra/` of a new run.

    Args:
      run_dir: folder of the run, held by this process.
      notes: file name -> text without secrets.
    """
    (run_dir / FOLDER).mkdir(exist_ok=True)
    for name, text in notes.items():
        with replacing(run_dir / FOLDER / name) as part:
            part.write_text(text, encoding="utf-8")


def clean_multirun(folder: Path) -> None:
    """Redact the secrets in `multirun.yaml`, which includes the launcher's configuration."""
    path = folder / "multirun.yaml"
    try:
        text = read_text(path, fix="remove it")
    except DataError:  # not the file that Hydra wrote
        return
    hidden = redact(text, noise_seeds=False)
    if hidden != text:
        with replacing(path) as part:
            part.write_text(hidden, encoding="utf-8")
