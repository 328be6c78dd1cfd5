"""Hydra writes what was typed into the run's folder before anybody can look at it; its passwords are taken out again."""

from pathlib import Path

from ecgexp._files import replacing
from ecgexp.tracking.params import hide_passwords


def clean_notes(run_dir: Path) -> None:
    """Blots out the passwords of addresses in Hydra's notes on the run, and on the multirun in whose folder it lies.

    Other secrets that were typed stay, such as a noise seed: a run that goes on has to be told them, and the notes are no
    part of what a run gives away.
    """
    for path in (*run_dir.glob(".hydra/*.yaml"), *run_dir.parent.glob("multirun.yaml")):
        text = path.read_text(encoding="utf-8")
        hidden = hide_passwords(text)
        if hidden != text:
            with replacing(path) as part:
                part.write_text(hidden, encoding="utf-8")
