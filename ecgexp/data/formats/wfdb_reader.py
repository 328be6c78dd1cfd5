"""Read a WFDB record (`.hea`, its signal files, `.atr`) and check that the files agree."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.annotation_order import in_time_order
from ecgexp.data.formats.gaps import at_lower_rate
from ecgexp.data.formats.integrity import is_inside
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.leads import find_lead
from ecgexp.data.formats.record import AnnotationFields, Record, split_outside
from ecgexp.data.formats.untrusted import damaged
from ecgexp.data.formats.wfdb_annotations import read_annotations
from ecgexp.data.formats.wfdb_header import NO_FILE, read_record_line, signal_files
from ecgexp.data.formats.wfdb_signals import Lead, Signals, read_signals
from ecgexp.settings.declaration import DataError

_LABELS = Labels()


def files_of(folder: Path, record_id: str, *, annotator: str = "atr") -> tuple[Path, ...]:
    """Return the files that a record is read from: header, files that it names, annotations.

    Args:
      folder: Their folder.
      record_id: Name of the record, validated by the caller.
      annotator: Name of the annotator, the suffix of the last file.

    Returns:
      The paths. If the header is invalid, the signal file is assumed to be `<record_id>.dat`;
      `read_record` then raises the error.
    """
    header = folder / f"{record_id}.hea"
    try:
        signals = _signal_paths(header)
    except DataError:
        signals = [folder / f"{record_id}.dat"]
    return header, *dict.fromkeys(signals), folder / f"{record_id}.{annotator}"


def signals_among(files: Sequence[Path]) -> list[Path]:
    """Return those of `files_of` that contain signals."""
    return [path for path in files[1:-1] if path.suffix != ".hea"]


def _signal_paths(header: Path) -> list[Path]:
    """Return the signal files, each preceded by the header of its segment."""
    segments = read_record_line(header, _NO_DATABASE).segments
    if not segments:
        return [header.with_name(name) for name in signal_files(header, _NO_DATABASE)]
    paths = []
    for name, length in segments:
        if name != NO_FILE:
            paths.append(header.with_name(f"{name}.hea"))
            paths += (
                [header.with_name(file) for file in signal_files(paths[-1], _NO_DATABASE)]
                if length
                else []
            )
    return paths


# For errors that `files_of` discards.
_NO_DATABASE = Database(name="", version="", title="", fs_hz=0.0, records=(), lead_names=())


def read_record(
    folder: Path,
    record_id: str,
    database: Database,
    leads: Sequence[str] = (),
    *,
    annotator: str | None = "atr",
    labels: Labels = _LABELS,
) -> Record:
    """Read one record with all its leads.

    A lead that cannot be used does not affect the other leads: the record is returned without it,
    and `Record.unusable` gives the reason: no value at all, a unit other than volts, values of a
    volt and above, or a number of samples per frame that does not suit the leads that are needed.
    A part without values (invalid samples, a segment without the lead, the end of a lead that is
    shifted because of its skew) is in `Record.gaps`.

    Args:
      folder: Folder of its files.
      record_id: Its name, validated by the caller.
      database: Its database.
      leads: Leads that are needed. If leads have different numbers of samples per frame, the record
        has the frequency of these leads, and leads of a higher frequency are averaged to it; if
        empty, the record has the highest frequency that all leads can be averaged to.
      annotator: Name of the annotator, the suffix of the file; None: it is not read, and the record
        has no annotations.
      labels: How the symbols of annotations are determined.

    Returns:
      The record.

    Raises:
      DataError: A file is damaged, or no lead can be used; the message names the file and the
        remedy.
    """
    header_path = folder / f"{record_id}.hea"
    line = read_record_line(header_path, database)
    with _enough_memory(header_path, database):
        signals = read_signals(header_path, line, database)
        if not signals.leads:
            raise DataError(next(iter(signals.unusable.values())))
        rate, columns, unusable = _at_one_rate(header_path, signals, leads, database)
        signals_mv = np.stack([lead.values_mv for lead in columns.values()], axis=1)
    notes = signals.notes
    annotations = annotations_of(
        folder / f"{record_id}.{annotator}" if annotator is not None else None,
        line.fs_hz,
        signals.num_frames,
        labels,
        notes,
        database,
    )
    return Record(
        record_id=record_id,
        patient_id=database.patient_of(record_id, line.comments),
        signals_mv=signals_mv,
        lead_names=tuple(columns),
        fs_hz=line.fs_hz,
        samples_per_frame=rate,
        unusable=unusable,
        gaps={name: lead.gaps for name, lead in columns.items() if len(lead.gaps)},
        notes=dict(+notes),
        **annotations,
    )


def annotations_of(
    path: Path | None,
    fs_hz: float,
    num_frames: int,
    labels: Labels,
    notes: Counter[str],
    database: Database,
) -> AnnotationFields:
    """Read the annotations of a record.

    Args:
      path: The file; None: the record has no annotations.
      fs_hz: Frames per second.
      num_frames: Length of the record.
      labels: How the symbols are determined.
      notes: What is unusual is counted here.
      database: Gives the remedy.

    Raises:
      DataError: The file is damaged.
    """
    annotations = AnnotationFields(
        samples=np.zeros(0, np.int64), symbols=np.zeros(0, np.str_), outside=MappingProxyType({})
    )
    if path is not None:
        with _enough_memory(path, database):
            found = read_annotations(path, fs_hz, database)
        own = labels.of(found.symbols, found.aux_notes, notes)
        samples, symbols, _ = in_time_order(found.samples, own, notes)
        annotations = split_outside(samples, symbols, is_inside(samples, num_frames))
    return annotations


@contextmanager
def _enough_memory(path: Path, database: Database) -> Iterator[None]:
    """Report a lack of memory as damage: a sparse file can agree with a huge length."""
    try:
        yield
    except MemoryError as error:
        raise damaged(path, "states more samples than fit into memory", database) from error


def _at_one_rate(
    header_path: Path, signals: Signals, wanted: Sequence[str], database: Database
) -> tuple[int, dict[str, Lead], dict[str, str]]:
    """Bring all leads to the same number of samples per frame.

    Leads with more samples are averaged, as WFDB's own readers do; leads with a number of samples
    that is not a multiple are unusable.
    """
    num_frames = signals.num_frames
    rates = {name: len(lead.values_mv) // num_frames for name, lead in signals.leads.items()}
    rate, refused = common_rate(header_path, rates, wanted, database)
    columns = {
        name: _averaged(lead, rates[name] // rate, num_frames * rate)
        for name, lead in signals.leads.items()
        if name not in refused
    }
    return rate, columns, {**signals.unusable, **refused}


def common_rate(
    header_path: Path, rates: Mapping[str, int], wanted: Sequence[str], database: Database
) -> tuple[int, dict[str, str]]:
    """Choose the samples per frame of a record.

    Args:
      header_path: The `.hea` file.
      rates: Lead -> its samples per frame.
      wanted: Leads that are needed.
      database: Gives the remedy.

    Returns:
      The samples per frame, and lead -> message for those that cannot be averaged to it.
    """
    found = [find_lead([name], list(rates)) for name in wanted]
    rate = math.gcd(*([rates[name] for name in found if name is not None] or rates.values()))
    refused = {}
    for name, own in rates.items():
        if own % rate:
            why = (
                f"has {own} samples per frame of lead {name}, but {rate} of the leads that are used"
            )
            refused[name] = str(damaged(header_path, why, database))
    return rate, refused


def _averaged(lead: Lead, factor: int, num_samples: int) -> Lead:
    if factor == 1:
        return lead
    return Lead(
        values_mv=lead.values_mv.reshape(num_samples, factor).mean(axis=1),
        gaps=at_lower_rate(lead.gaps, factor, num_samples),
    )
