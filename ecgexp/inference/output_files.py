"""Output files of annotated records, written atomically and never into a folder of records."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ecgexp.data.formats.annotation_writer import symbol_of, write_annotations
from ecgexp.data.formats.edf_writer import write_edf_annotations
from ecgexp.data.formats.untrusted import printable
from ecgexp.data.formats.wanted_files import SUFFIXES_OF
from ecgexp.inference.record import Annotated
from ecgexp.inference.unfinished import folder_of
from ecgexp.settings.declaration import ConfigError
from ecgexp.storage.atomic import folder_beside, resolved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["wfdb", "csv", "json", "edf"]

_ROWS = 1 << 16  # of a table that are in memory at once


def names_of(
    record_id: str, extension: str, formats: Sequence[Format], *, has_figure: bool
) -> tuple[str, ...]:
    """Return the names of the output files of a record: annotations, then the summary."""
    suffixes = [extension if form == "wfdb" else form for form in formats]
    figure = ["summary.png"] if has_figure else []
    return tuple(f"{record_id}.{end}" for end in (*suffixes, *figure, "summary.txt"))


def check_output(
    output: Path,
    stems: Sequence[Path],
    extension: str,
    *,
    formats: Sequence[Format] = ("wfdb", "csv"),
    has_figure: bool = True,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Check that all output files can be written, before records are read.

    Args:
      output: The folder; it need not exist.
      stems: Paths of the records.
      extension: Extension of the annotation files.
      formats: Formats of the annotations.
      has_figure: Whether a figure is written.
      overwrite: Whether existing files may be replaced.
      resume: Whether existing files are those of the interrupted command.

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
        for name in names_of(record_id, extension, formats, has_figure=has_figure)
        if (output / name).exists()
    ]
    if there and not (overwrite or resume):
        raise ConfigError(
            f"{there[0]} exists already; use --overwrite to replace it, or another --output"
        )
    begun = [folder for name in ids if (folder := folder_of(output, name)).exists()]
    if begun and not (overwrite or resume):
        raise ConfigError(
            f"{begun[0]} is left of an interrupted command; use --resume to continue it, or "
            "--overwrite to begin again"
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


def write(
    annotated: Annotated,
    output: Path,
    extension: str,
    *,
    formats: Sequence[Format] = ("wfdb", "csv"),
    summary: str = "",
    figure: "Figure | None" = None,
) -> None:
    """Write the files of a record: all are written before the first one replaces another.

    Args:
      annotated: The annotated record.
      output: The folder; created if it is missing.
      extension: Extension of the WFDB annotation file.
      formats: Formats of the annotations.
      summary: Text of the summary, which is put in place last; empty: none is written.
      figure: Figure of the summary.

    Raises:
      OSError: The files cannot be written.
    """
    record_id = annotated.record_id
    with folder_beside(output / record_id) as scratch:
        for form in formats:
            _WRITERS[form](annotated, scratch, extension)
        if figure is not None:
            figure.savefig(scratch / f"{record_id}.summary.png")
        if summary:
            (scratch / f"{record_id}.summary.txt").write_text(summary, encoding="utf-8")
        for name in names_of(record_id, extension, formats, has_figure=figure is not None):
            if (scratch / name).exists():
                os.replace(scratch / name, output / name)


def _write_wfdb(annotated: Annotated, folder: Path, extension: str) -> None:
    symbols = {name: symbol_of(name) for name in annotated.class_names}
    # The file has only symbols; the note gives the name of a class without its own symbol.
    notes = [name if symbols.get(name, name) == "Q" != name else "" for name in annotated.classes]
    write_annotations(
        folder,
        annotated.record_id,
        extension,
        samples=annotated.samples,
        symbols=annotated.symbols,
        notes=notes,
        fs_hz=annotated.fs_hz,
    )


def _write_csv(annotated: Annotated, folder: Path, _extension: str) -> None:
    path = folder / f"{annotated.record_id}.csv"
    for rows in _parts(annotated):
        annotated.part(rows).table().to_csv(
            path, index=False, float_format="%.9g", header=not rows.start, mode="a"
        )


def _write_json(annotated: Annotated, folder: Path, _extension: str) -> None:
    """Write an object with a list for each column of the table; a probability may be null."""
    with (folder / f"{annotated.record_id}.json").open("w", encoding="utf-8") as file:
        head = {
            "record": annotated.record_id,
            "fs_hz": annotated.fs_hz,
            "source_of_beats": annotated.source,
            "classes": list(annotated.class_names),
        }
        file.write(json.dumps(head)[:-1])
        for name in annotated.part(slice(0, 0)).table().columns:
            file.write(f",\n{json.dumps(name)}: [")
            for rows in _parts(annotated):
                column = annotated.part(rows).table()[name]
                values = [None if value != value else value for value in column.tolist()]
                file.write((", " if rows.start else "") + json.dumps(values)[1:-1])
            file.write("]")
        file.write("}\n")


def _write_edf(annotated: Annotated, folder: Path, _extension: str) -> None:
    def annotations() -> Iterator[tuple[float, str]]:
        for rows in _parts(annotated):
            part = annotated.part(rows)
            seconds = part.samples / part.fs_hz
            yield from zip(seconds.tolist(), part.symbols, strict=True)

    write_edf_annotations(folder / f"{annotated.record_id}.edf", annotations())


def _parts(annotated: Annotated) -> Iterator[slice]:
    """Return slices of beats; the first one is there also without beats."""
    for begin in range(0, max(1, len(annotated.samples)), _ROWS):
        yield slice(begin, begin + _ROWS)


_WRITERS = {"wfdb": _write_wfdb, "csv": _write_csv, "json": _write_json, "edf": _write_edf}
