"""`.hydra/`: what was typed for a run and what it was composed to, written when the run's folder is held.

Hydra itself would write it before anybody can look at the folder, with every secret in it.
"""

from collections.abc import Mapping
from pathlib import Path

from ecgexp.settings.declaration import DataError
from ecgexp.settings.redaction import redact
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_text

FOLDER = ".hydra"


def write_notes(run_dir: Path, notes: Mapping[str, str]) -> None:
    """Writes the notes of a new run.

    Args:
      run_dir: held by this process.
      notes: name -> text without secrets.
    """
    (run_dir / FOLDER).mkdir(exist_ok=True)
    for name, text in notes.items():
        with replacing(run_dir / FOLDER / name) as part:
            part.write_text(text, encoding="utf-8")


def clean_multirun(folder: Path) -> None:
    """Hides the secrets in `multirun.yaml`, which Hydra writes; a launcher's file that somebody made may hold one."""
    path = folder / "multirun.yaml"
    try:
        text = read_text(path, fix="remove it")
    except DataError:  # whatever it is, it is not what Hydra wrote
        return
    hidden = redact(text, noise_seeds=False)
    if hidden != text:
        with replacing(path) as part:
            part.write_text(hidden, encoding="utf-8")
