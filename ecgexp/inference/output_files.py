"""The files of an annotated record: whole under their names or not there, and never among the records themselves."""

import os
from collections.abc import Sequence
from pathlib import Path

from ecgexp.data.formats.annotation_writer import symbol_of, write_annotations
from ecgexp.data.formats.untrusted import printable
from ecgexp.inference.record import Annotated
from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.atomic import folder_beside, resolved


def names_of(record_id: str, extension: str) -> tuple[str, str]:
    """What is written for a record."""
    return f"{record_id}.{extension}", f"{record_id}.csv"


def check_output(output: Path, stems: Sequence[Path], extension: str, *, overwrite: bool) -> None:
    """Everything can be written, before anything is read.

    Args:
      output: the folder; need not be there.
      stems: the records' paths.
      extension: of the annotation files.
      overwrite: whether files that are there may be replaced.

    Raises:
      ConfigError: two records would have one name, a file is there, or the folder is where records lie.
    """
    ids = [stem.name for stem in stems]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        places = " and ".join(printable(stem) for stem in stems if stem.name == twice[0])
        raise ConfigError(f"two records are called {twice[0]}, {places}, and so would be their files; give one at a time, each "
                          "with its own --output")  # fmt: skip
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is not a folder; give another")
    _check_apart(output, stems)
    there = [
        output / name
        for record_id in ids
        for name in names_of(record_id, extension)
        if (output / name).exists()
    ]
    if there and not overwrite:
        raise ConfigError(
            f"{there[0]} is there already; type --overwrite to replace it, or another --output"
        )


def _check_apart(output: Path, stems: Sequence[Path]) -> None:
    """Not into a folder with records, nor anywhere in a database, which its list `RECORDS` tells from a mere folder."""
    target = resolved(output)
    databases = [
        resolved(stem).parent for stem in stems if (resolved(stem).parent / "RECORDS").exists()
    ]
    inside = [folder for folder in databases if folder in (target, *target.parents)]
    if inside or any(target.glob("*.hea")):
        raise ConfigError(
            f"--output {output} lies among records ({inside[0] if inside else target}), and nothing is written there; give a "
            "folder elsewhere, e.g. --output ~/predictions"
        )


def write(annotated: Annotated, output: Path, extension: str) -> None:
    """Writes `<record>.<extension>` and `<record>.csv` into `output`, which is made where it is missing.

    Raises:
      OSError: there is no room, or no right to write.
    """
    symbols = {name: symbol_of(name) for name in annotated.class_names}
    # A class whose symbol is not its own name would be lost in the file, which knows no other names.
    notes = [name if symbols.get(name, name) == "Q" != name else "" for name in annotated.classes]
    with folder_beside(output / annotated.record_id) as scratch:
        write_annotations(
            scratch, annotated.record_id, extension, samples=annotated.samples, symbols=annotated.symbols,
            notes=notes, fs_hz=annotated.fs_hz,
        )  # fmt: skip
        annotated.table().to_csv(
            scratch / f"{annotated.record_id}.csv", index=False, float_format="%.9g"
        )
        for name in names_of(annotated.record_id, extension):
            os.replace(scratch / name, output / name)
