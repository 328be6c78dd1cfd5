"""Read recordings in EDF, EDF+ and BDF; the gaps of discontinuous files (EDF+D) stay gaps.

Own code, because edfio 0.4 joins the parts of EDF+D, wfdb 4.3 and pyedflib 0.1 refuse them, and all
return the patient's name with the signals. edfio is the reference in tests.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.annotation_table import read_annotation_table
from ecgexp.data.formats.assemble import assemble
from ecgexp.data.formats.edf_annotations import NotAnnotations, TimedText, parse_lists
from ecgexp.data.formats.edf_header import NO_COUNT, EdfHeader, EdfSignal, read_edf_header
from ecgexp.data.formats.gaps import NO_GAPS, bridge, find_gaps
from ecgexp.data.formats.integrity import check_millivolts
from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.leads import REPEATED_NAME, find_lead
from ecgexp.data.formats.record import LONGEST_LEAD, UNITS_PER_MV, Record
from ecgexp.data.formats.untrusted import damaged, quoted
from ecgexp.data.formats.wfdb_annotations import read_annotations
from ecgexp.settings.declaration import DataError

SUFFIXES = (".edf", ".bdf")
OUT_OF_RANGE = "lead with digital values beyond the range that its header states"

_LABELS = Labels()


def files_of(path: Path, *, annotator: str | None = "atr") -> tuple[Path, ...]:
    """Return the files that a recording is read from: itself, and its annotations if it has a file.

    Args:
      path: The recording.
      annotator: Suffix of a WFDB annotation file; None: annotations are not read.

    Returns:
      The paths. The annotations are `<name>.csv` or else `<name>.<annotator>` beside the recording;
      without such a file they are those in the recording itself.
    """
    if annotator is None:
        return (path,)
    beside = (path.with_suffix(".csv"), path.with_suffix(f".{annotator}"))
    return path, *[each for each in beside if each.is_file()][:1]


def read_record(
    path: Path,
    database: Database,
    leads: Sequence[str] = (),
    *,
    annotator: str | None = "atr",
    labels: Labels = _LABELS,
) -> Record:
    """Read a recording with all its leads.

    **Guarantees**: Patient, recording, date and texts of annotations other than symbols are not
    returned and are in no message (`tests/unit/data/test_edf_reader.py`). A gap between data
    records is in `Record.gaps`, at its true time.

    Args:
      path: The recording.
      database: Gives the remedy; its frequency is not used.
      leads: Leads that are needed, which determine the frequency of the record. Leads of a multiple
        of it are averaged, others are unusable. If empty: the highest frequency that all leads can
        be averaged to.
      annotator: Suffix of a WFDB annotation file beside the recording; None: annotations are not
        read.
      labels: How symbols are mapped. The text of an annotation in the recording is a symbol of
        WFDB, or mapped to one; others are comments.

    Returns:
      The record, with its file's name as id and patient.

    Raises:
      DataError: A file is damaged, or no lead can be used; the message names the file and the
        remedy.
    """
    header = read_edf_header(path, database)
    notes: Counter[str] = Counter({NO_COUNT: int(not header.is_counted)})
    try:
        records = _read_bytes(path, header, database)
        begins, texts = _times(path, header, records, database)
        usable, unusable = _usable(path, header, database)
        rate, usable, unusable = _rate(path, usable, unusable, leads, database)
        fs_hz = rate / header.record_s
        starts, num_samples = _starts(path, header, begins, rate, database)
        columns, gaps = {}, {}
        for signal in usable:
            try:
                columns[signal.name], found = _lead(
                    path, header, signal, records, starts, num_samples, rate, notes, database
                )
            except DataError as error:
                unusable[signal.name] = str(error)
            else:
                gaps |= {signal.name: found} if len(found) else {}
        if not columns:
            raise DataError(next(iter(unusable.values())))
        _, *beside = files_of(path, annotator=annotator)
        texts = texts if annotator is not None else []
        samples, names = (
            _beside(beside[0], fs_hz, labels, notes, database)
            if beside
            else _from_texts(texts, begins[0], fs_hz, labels, notes)
        )
        return assemble(
            path, columns, samples, names, fs_hz=fs_hz, unusable=unusable, gaps=gaps, notes=notes
        )
    except MemoryError as error:
        raise damaged(path, "has more samples than fit into memory", database) from error


def _read_bytes(path: Path, header: EdfHeader, database: Database) -> np.ndarray:
    """Return (num_records, record_bytes) uint8."""
    size = header.num_records * header.record_bytes
    content = np.fromfile(path, np.uint8, count=size, offset=header.num_bytes)
    if len(content) != size:
        raise damaged(path, "was shortened while it was read", database)
    return content.reshape(header.num_records, header.record_bytes)


def _times(
    path: Path, header: EdfHeader, records: np.ndarray, database: Database
) -> tuple[list[float], list[TimedText]]:
    """Return when each data record begins, and all annotations."""
    lists = [signal for signal in header.signals if signal.is_annotations]
    texts: list[TimedText] = []
    begins = [number * header.record_s for number in range(header.num_records)]
    if header.kind == "plain" or not lists:
        if header.kind == "discontinuous":
            raise damaged(
                path, "is discontinuous (EDF+D), but does not state when its parts begin", database
            )
        return begins, texts
    for number in range(header.num_records):
        for place, signal in enumerate(lists):
            end = signal.begin + signal.num_samples * header.sample_bytes
            try:
                begin, found = parse_lists(records[number, signal.begin : end].tobytes(), number)
            except NotAnnotations as error:
                raise damaged(path, str(error), database) from error
            texts += found
            if place:
                continue
            if begin is None:
                raise damaged(path, f"does not state when data record {number} begins", database)
            begins[number] = begin
    return begins, texts


def _usable(
    path: Path, header: EdfHeader, database: Database
) -> tuple[list[EdfSignal], dict[str, str]]:
    usable, unusable = [], {}
    for signal in header.signals:
        if signal.is_annotations:
            continue
        low, high = signal.digital
        why = None
        if signal.units.lower() not in UNITS_PER_MV:
            why = f"gives lead {signal.name} in {quoted(signal.units)}, not in volts"
        elif signal.physical[0] == signal.physical[1]:
            why = f"gives lead {signal.name} no physical range"
        elif low >= high:
            why = f"gives lead {signal.name} the digital range {low} to {high}"
        elif not signal.num_samples:
            why = f"has no samples of lead {signal.name}"
        if why is None:
            usable.append(signal)
        else:
            unusable[signal.name] = str(damaged(path, why, database))
    if not usable:
        raise DataError(
            next(iter(unusable.values()), str(damaged(path, "has no signals", database)))
        )
    return usable, unusable


def _rate(
    path: Path,
    usable: list[EdfSignal],
    unusable: dict[str, str],
    wanted: Sequence[str],
    database: Database,
) -> tuple[int, list[EdfSignal], dict[str, str]]:
    """Choose the samples per data record; leads of another frequency are unusable."""
    counts = {signal.name: signal.num_samples for signal in usable}
    found = [find_lead([name], list(counts)) for name in wanted]
    rate = math.gcd(*([counts[name] for name in found if name is not None] or counts.values()))
    unusable |= {
        name: str(
            damaged(
                path,
                f"has {count} samples of lead {name} in a data record, but {rate} of the leads "
                "that are used",
                database,
            )
        )
        for name, count in counts.items()
        if count % rate
    }
    return rate, [signal for signal in usable if not signal.num_samples % rate], unusable


def _starts(
    path: Path, header: EdfHeader, begins: list[float], rate: int, database: Database
) -> tuple[np.ndarray, int]:
    """Return the first sample of each data record, and the length of the record in samples."""
    exact = (np.asarray(begins) - begins[0]) * (rate / header.record_s)
    if exact[-1] + rate > LONGEST_LEAD or exact.min() < 0:
        raise damaged(path, f"has data records at {min(begins):g} to {max(begins):g} s", database)
    starts = np.arange(len(exact)) * rate
    for number in range(1, len(exact)):
        # Times are rounded, so that a record may seem to begin up to a sample early or late.
        late = exact[number] - starts[number - 1] - rate
        if header.kind != "discontinuous":
            late = exact[number] - exact[number - 1] - rate
        if late < -1 or (late > 1 and header.kind != "discontinuous"):
            raise damaged(
                path,
                f"has data record {number} at {begins[number]:g} s, but record {number - 1} ends "
                f"at {begins[number - 1] + header.record_s:g} s"
                + ("" if header.kind == "discontinuous" else ", and by its header it has no gaps"),
                database,
            )
        next_start = starts[number - 1] + rate
        starts[number] = round(exact[number]) if late > 1 else next_start
    return starts, int(starts[-1]) + rate


def _lead(
    path: Path,
    header: EdfHeader,
    signal: EdfSignal,
    records: np.ndarray,
    starts: np.ndarray,
    num_samples: int,
    rate: int,
    notes: Counter[str],
    database: Database,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a lead in millivolts and its gaps."""
    end = signal.begin + signal.num_samples * header.sample_bytes
    content = np.ascontiguousarray(records[:, signal.begin : end])
    if header.sample_bytes == 2:
        digital = content.view("<i2")
    else:
        words = np.zeros((content.size // 3, 4), np.uint8)
        words[:, 1:] = content.reshape(-1, 3)
        digital = (words.view("<i4") >> 8).reshape(len(content), -1)
    low, high = signal.digital
    if digital.min() < low or digital.max() > high:
        notes[OUT_OF_RANGE] += 1
    notes[REPEATED_NAME] += signal.is_repeated
    bottom, top = signal.physical
    values = (digital.astype(np.float64) - low) * ((top - bottom) / (high - low)) + bottom
    values *= UNITS_PER_MV[signal.units.lower()]
    if signal.num_samples != rate:
        values = values.reshape(len(records), rate, -1).mean(axis=2)
    if num_samples == len(records) * rate:
        lead_mv, gaps = values.reshape(-1), NO_GAPS
    else:
        lead_mv, missing = np.zeros(num_samples), np.ones(num_samples, bool)
        rows = starts[:, None] + np.arange(rate)
        lead_mv[rows], missing[rows] = values, False
        gaps = find_gaps(missing)
        lead_mv = bridge(lead_mv, gaps)
    check_millivolts(path, lead_mv[:, None], [signal.name], database)
    return lead_mv, gaps


def _beside(
    path: Path, fs_hz: float, labels: Labels, notes: Counter[str], database: Database
) -> tuple[np.ndarray, np.ndarray]:
    """Read the annotation file beside a recording."""
    if path.suffix == ".csv":
        samples, symbols = read_annotation_table(path, fs_hz, database)
        return samples, replace(labels, symbols_from="symbol").of(symbols, symbols, notes)
    found = read_annotations(path, fs_hz, database)
    return found.samples, labels.of(found.symbols, found.aux_notes, notes)


def _from_texts(
    texts: Sequence[TimedText], begin_s: float, fs_hz: float, labels: Labels, notes: Counter[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return sample and symbol of annotations in the recording."""
    seconds = np.asarray([one.seconds for one in texts], np.float64)
    words = np.asarray([one.text for one in texts], np.str_)
    # Texts are free text, as notes are; those that are not mapped become comments.
    by_text = replace(labels, symbols_from="aux_note")
    samples = np.floor((seconds - begin_s) * fs_hz + 0.5).astype(np.int64)
    return samples, by_text.of(words, words, notes)
