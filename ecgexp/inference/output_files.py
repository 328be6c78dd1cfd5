"""Output files of annotated records, written atomically and never into a folder of records."""

import os
from collections.abc import Sequence
from pathlib import Path

from ecgexp.data.formats.annotation_writer import symbol_of, write_annotations
from ecgexp.data.formats.discovery import SUFFIXES_OF
from ecgexp.data.formats.untrusted import printable
from ecgexp.inference.record import Annotated
from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.atomic import folder_beside, resolved


def names_of(record_id: str, extension: str) -> tuple[str, str]:
    """Return the names of the output files of a record: annotations and table."""
    return f"{record_id}.{extension}", f"{record_id}.csv"


def check_output(output: Path, stems: Sequence[Path], extension: str, *, overwrite: bool) -> None:
    """Check that all output files can be written, before records are read.

    Args:
      output: The folder; it need not exist.
      stems: Paths of the records.
      extension: Extension of the annotation files.
      overwrite: Whether existing files may be replaced.

    Raises:
      ConfigError: Two records have the same name, a file exists, or the folder contains records.
    """
    ids = [stem.name for stem in stems]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        places = " and ".join(printable(stem) for stem in stems if stem.name == twice[0])
        raise ConfigError(
            f"two records are called {twice[0]}, {places}, and would have the same output files; "
            "annotate them one at a time, each with its own --output"
        )
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: not a folder; use another --output")
    _check_apart(output, stems)
    there = [
        output / name
        for record_id in ids
        for name in names_of(record_id, extension)
        if (output / name).exists()
    ]
    if there and not overwrite:
        raise ConfigError(
            f"{there[0]} exists already; use --overwrite to replace it, or another --output"
        )


def _check_apart(output: Path, stems: Sequence[Path]) -> None:
    """Refuse a folder with records, and folders below a database, which has a list `RECORDS`."""
    target = resolved(output)
    folders = [resolved(stem).parent for stem in stems]
    databases = [folder for folder in folders if (folder / "RECORDS").exists()]
    inside = [folder for folder in databases if folder in (target, *target.parents)]
    if inside or target in folders or _has_records(target):
        raise ConfigError(
            f"--output {output}: in a folder of records ({inside[0] if inside else target}); use "
            "another folder, e.g. --output ~/predictions"
        )


def _has_records(folder: Path) -> bool:
    # Not those of CSV files, since tables of predictions are such files too.
    suffixes = (*SUFFIXES_OF["wfdb"], *SUFFIXES_OF["edf"])
    return folder.is_dir() and any(path.suffix.lower() in suffixes for path in folder.iterdir())


def write(annotated: Annotated, output: Path, extension: str) -> None:
    """Write `<record>.<extension>` and `<record>.csv`.

    Args:
      annotated: The annotated record.
      output: The folder; created if it is missing.
      extension: Extension of the annotation file.

    Raises:
      OSError: The files cannot be written.
    """
    symbols = {name: symbol_of(name) for name in annotated.class_names}
    # The file has only symbols; the note gives the name of a class without its own symbol.
    notes = [name if symbols.get(name, name) == "Q" != name else "" for name in annotated.classes]
    with folder_beside(output / annotated.record_id) as scratch:
        write_annotations(
            scratch,
            annotated.record_id,
            extension,
            samples=annotated.samples,
            symbols=annotated.symbols,
            notes=notes,
            fs_hz=annotated.fs_hz,
        )
        annotated.table().to_csv(
            scratch / f"{annotated.record_id}.csv", index=False, float_format="%.9g"
        )
        for name in names_of(annotated.record_id, extension):
            os.replace(scratch / name, output / name)
