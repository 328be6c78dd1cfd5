"""Read a file of beats of any format, with labels and patients in it or beside it."""

from dataclasses import replace
from pathlib import Path

from ecgexp.data.formats.beat_arrays import assembled, read_npy, read_npz, read_values
from ecgexp.data.formats.beat_file import BeatFile, Wanted, as_texts, refused
from ecgexp.data.formats.beat_tables import read_csv, read_parquet

_BESIDE = (".npy", ".csv", ".txt")


def is_beside(name: str | None) -> bool:
    """Return whether labels or patients are named as a file beside that of the beats."""
    return name is not None and name.endswith(_BESIDE)


def read_beats(path: Path, wanted: Wanted, *, first_block: bool = False) -> BeatFile:
    """Read a file of beats.

    Args:
      path: The file.
      wanted: What is read from it; labels and patients may be files in its folder.
      first_block: Read only the first rows of a table, without the files beside it.

    Returns:
      The beats.

    Raises:
      DataError: A file is missing or damaged, or they do not fit together.
    """
    labels, patients = wanted.labels, wanted.patients
    inside = replace(
        wanted,
        labels=None if is_beside(labels) else labels,
        patients=None if is_beside(patients) else patients,
        needs_labels=wanted.needs_labels and not is_beside(labels),
    )
    suffix = path.suffix.lower()
    if not path.is_file():
        raise refused(path, "is missing", "use the path of a file of beats")
    if suffix == ".csv":
        found = read_csv(path, inside, first_block=first_block)
    elif suffix == ".parquet":
        found = read_parquet(path, inside, first_block=first_block)
    elif suffix == ".npz":
        found = read_npz(path, inside)
    else:
        found = _of_npy(path, inside)
    if first_block:
        return found
    if labels is not None and is_beside(labels):
        found = replace(found, labels=read_values(path.parent / labels))
    if patients is not None and is_beside(patients):
        values = read_values(path.parent / patients)
        found = replace(found, patients=as_texts(path, values.ravel(), "patients"))
    for name in ("labels", "patients"):
        values = getattr(found, name)
        if values is not None and len(values) != len(found.signals):
            raise refused(
                path,
                f"has {len(found.signals)} beats, and dataset.{name} has {len(values)} values",
                "use one value for each beat",
            )
    return found


def _of_npy(path: Path, inside: Wanted) -> BeatFile:
    named = [n for n in ("labels", "patients") if getattr(inside, n) is not None]
    if named or inside.rr or inside.needs_labels:
        raise refused(
            path,
            f"has one array, and no {named[0] if named else 'labels'}",
            "use dataset.labels=labels.npy, a file in the same folder, or an .npz file",
        )
    return assembled(path, read_npy(path), labels=None, patients=None, rr=None)
