"""The verdict on one mutated record: what the readers return, and whether it is correct."""

import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzzing.corpus import Case, lay_out
from fuzzing.mutations import Files, mutate
from fuzzing.plain_reading import Plain, read_kaggle, read_wfdb

from ecgexp.data.formats import csv_reader, wfdb_reader
from ecgexp.data.formats.database_source import DatabaseSource
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.one_record import choose_leads, preprocess_record
from ecgexp.data.preprocessing.pipeline import preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError

REFUSED, TRUE, BEYOND, FINDING = "refused", "true beats", "beyond any check", "finding"
_PREPROCESSING = Preprocessing(missing_lead="first")
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of one input.

    Attributes:
      outcome: `refused`: rejected by a `DataError` of one line that names a file; `true beats`: the
        beats of the valid files; `beyond any check`: other beats, which the mutated files do hold,
        and which the published SHA-256, if there is one, rejects; `finding`: anything else.
      kind: kind of a finding, by which findings are counted.
      detail: the message or the traceback.
      files: the mutated files.
      mutations: descriptions of the mutations.
      case: name of the case.
    """

    outcome: str
    kind: str = ""
    detail: str = ""
    files: Mapping[str, object]
    mutations: list[str]
    case: str


def check_readers_agree(case: Case) -> None:
    """Checks that both readers agree on the valid record; otherwise verdicts would be meaningless.

    Raises:
      ValueError: they do not agree.
    """
    plain = _plainly(case, case.files)
    if plain is None or not _is_plain(case.truth, plain) or not plain.beats:
        raise ValueError(
            f"the two readers differ on the valid record {case.name}: {plain and plain.beats}"
        )
    _preprocess(case.truth)  # also imports modules before processes are forked


def own_files(case: Case) -> list[str]:
    """Returns the names of the files of the case's record."""
    module = csv_reader if case.layout == "kaggle_csv" else wfdb_reader
    return [path.name for path in module.files_of(Path(), case.record_id)]


def try_input(cases: tuple[Case, ...], seed: int, number: int, folder: Path) -> Verdict:
    """Runs input `number` of a campaign with `seed`, on which alone it depends."""
    rng = np.random.default_rng([seed, number])
    case = cases[number % len(cases)]
    files, mutations = mutate(case.files, own_files(case), rng)
    return evaluate(case, files, mutations, folder)


def evaluate(case: Case, files: Files, mutations: list[str], folder: Path) -> Verdict:
    """Writes the files, reads them, and compares the result with the valid record."""
    lay_out(files, folder)
    outcome, kind, detail = _outcome(case, files, folder)
    return Verdict(
        outcome=outcome, kind=kind, detail=detail, files=files, mutations=mutations, case=case.name
    )


def _outcome(case: Case, files: Files, folder: Path) -> tuple[str, str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            record = case.read(folder)
            _preprocess(record)
    except DataError as error:
        return _message(error, case, folder)
    except Exception as error:  # noqa: BLE001 - any other exception is a finding
        return FINDING, f"{type(error).__name__} in {_place(error)}", traceback.format_exc()
    if _same(record, case.truth):
        return TRUE, "", ""
    plain = _plainly(case, files)
    if plain is None or not _is_plain(record, plain):
        return (
            FINDING,
            "other beats without an error",
            f"read {_summary(record)}\nplainly {plain and plain.beats}",
        )
    return _published(case, folder)


def _preprocess(record: Record) -> None:
    """Preprocesses a record, which must work for every record that was read."""
    columns, _ = choose_leads(record, _PREPROCESSING)
    if columns is None:
        return
    part, *_ = preprocess_record(record, columns, _PREPROCESSING)
    has_intervals = len(record.beat_samples) > 1
    if not (
        np.isfinite(part["signals_mv"]).all()
        and (np.isfinite(part["rr"]).all() or not has_intervals)
    ):
        raise FloatingPointError("a preprocessed beat is NaN or infinite")


def _message(error: DataError, case: Case, folder: Path) -> tuple[str, str, str]:
    text = str(error)
    if not any(
        name in text for name in (f"{folder}/", f"record {case.record_id}", f"{case.record_id}.hea")
    ):
        return FINDING, "an error message that names no file", text
    if not text.isprintable() or len(text.replace(str(folder), "")) > _LONGEST_MESSAGE:
        return FINDING, "an error message that is not one printable line", text[:3000]
    return REFUSED, "", text


def _published(case: Case, folder: Path) -> tuple[str, str, str]:
    """Checks that the published SHA-256 rejects files that their header cannot reject."""
    if case.layout is None:
        return BEYOND, "", ""
    try:
        preprocess_records(
            _PREPROCESSING,
            DatabaseSource(
                database=case.database,
                folder=folder,
                records=(case.record_id,),
                layout=case.layout,
            ),
        )
    except DataError:
        return BEYOND, "", ""
    return FINDING, "other beats with the published SHA-256", ""


def _plainly(case: Case, files: Files) -> Plain | None:
    if case.layout == "kaggle_csv":
        return read_kaggle(files, case.record_id, case.database)
    return read_wfdb(files, case.record_id, case.database, alone=case.layout is None)


def _beats(record: Record) -> list[tuple[int, str]]:
    return list(zip(record.beat_samples.tolist(), record.beat_symbols.tolist(), strict=True))


def _same(one: Record, other: Record) -> bool:
    return (
        (one.patient_id, one.fs_hz, one.lead_names)
        == (other.patient_id, other.fs_hz, other.lead_names)
        and _beats(one) == _beats(other)
        and one.signals_mv.shape == other.signals_mv.shape
        and bool((one.signals_mv == other.signals_mv).all())
    )


def _is_plain(record: Record, plain: Plain) -> bool:
    signals = np.asarray(plain.signals_mv, np.float64).T
    return (
        (record.patient_id, record.fs_hz, record.lead_names)
        == (plain.patient, plain.fs_hz, plain.lead_names)
        and _beats(record) == plain.beats
        and record.signals_mv.shape == signals.shape
        and bool(np.allclose(record.signals_mv, signals, rtol=1e-9, atol=1e-12))
    )


def _summary(record: Record) -> str:
    return (
        f"{record.patient_id} {record.fs_hz} {record.lead_names} {record.signals_mv.shape} "
        f"{record.signals_mv[:2].tolist()} {_beats(record)}"
    )


def _place(error: BaseException) -> str:
    """Returns the last function of this project in a traceback, and the last one of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/ecgexp/" in frame.filename]
    names = dict.fromkeys(
        f"{Path(frame.filename).name}:{frame.name}" for frame in (*ours[-1:], frames[-1])
    )
    return ", ".join(names)
