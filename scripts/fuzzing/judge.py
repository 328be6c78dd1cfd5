"""One spoilt record: what the readers make of it, and whether that is right."""

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
from ecgexp.data.formats.record import Record
from ecgexp.data.preprocessing.pipeline import choose_leads, preprocess_record, preprocess_records
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.settings.declaration import DataError

REFUSED, TRUE, BEYOND, FINDING = "refused", "true beats", "beyond any check", "finding"
_PREPARATION = Preprocessing(missing_lead="first")
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one input.

    Attributes:
      outcome: `refused` by a `DataError` of one line that names a file; `true beats`: what the sound files say;
        `beyond any check`: other beats, but plainly what the spoilt files say, and refused by the published SHA-256 where
        there is one; `finding`: anything else.
      kind: of a finding, to count alike ones together.
      detail: the message or the traceback.
      files: the spoilt files.
      story: what was done to them.
      case: whose they were.
    """

    outcome: str
    kind: str = ""
    detail: str = ""
    files: Mapping[str, object]
    story: list[str]
    case: str


def check_sound(case: Case) -> None:
    """Both readers agree on the sound record; without that no verdict is worth anything.

    Raises:
      ValueError: they do not.
    """
    plain = _plainly(case, case.files)
    if plain is None or not _is_plain(case.truth, plain) or not plain.beats:
        raise ValueError(
            f"the two readers differ on the sound record {case.name}: {plain and plain.beats}"
        )
    _prepare(case.truth)  # and what that imports is there before processes are forked


def own_files(case: Case) -> list[str]:
    """The names of the files that the case's record is read from."""
    module = csv_reader if case.layout == "kaggle_csv" else wfdb_reader
    return [path.name for path in module.files_of(Path(), case.record_id)]


def try_input(cases: tuple[Case, ...], seed: int, number: int, folder: Path) -> Verdict:
    """Input `number` of the run with `seed`: it depends on these two alone."""
    rng = np.random.default_rng([seed, number])
    case = cases[number % len(cases)]
    files, story = mutate(case.files, own_files(case), rng)
    return judge(case, files, story, folder)


def judge(case: Case, files: Files, story: list[str], folder: Path) -> Verdict:
    """Lays the files out, has them read, and compares."""
    lay_out(files, folder)
    outcome, kind, detail = _outcome(case, files, folder)
    return Verdict(
        outcome=outcome, kind=kind, detail=detail, files=files, story=story, case=case.name
    )


def _outcome(case: Case, files: Files, folder: Path) -> tuple[str, str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            record = case.read(folder)
            _prepare(record)
    except DataError as error:
        return _message(error, case, folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return FINDING, f"{type(error).__name__} in {_place(error)}", traceback.format_exc()
    if _same(record, case.truth):
        return TRUE, "", ""
    plain = _plainly(case, files)
    if plain is None or not _is_plain(record, plain):
        return (
            FINDING,
            "other beats in silence",
            f"read {_summary(record)}\nplainly {plain and plain.beats}",
        )
    return _published(case, folder)


def _prepare(record: Record) -> None:
    """What follows the reading must cope with whatever was read."""
    columns, _ = choose_leads(record, _PREPARATION)
    if columns is None:
        return
    part, *_ = preprocess_record(record, columns, _PREPARATION)
    has_intervals = len(record.beat_samples) > 1
    if not (
        np.isfinite(part["signals_mv"]).all()
        and (np.isfinite(part["rr"]).all() or not has_intervals)
    ):
        raise FloatingPointError("a prepared beat is not finite")


def _message(error: DataError, case: Case, folder: Path) -> tuple[str, str, str]:
    text = str(error)
    if not any(
        name in text for name in (f"{folder}/", f"record {case.record_id}", f"{case.record_id}.hea")
    ):
        return FINDING, "a refusal that names no file", text
    if not text.isprintable() or len(text.replace(str(folder), "")) > _LONGEST_MESSAGE:
        return FINDING, "a refusal that is no line to print", text[:3000]
    return REFUSED, "", text


def _published(case: Case, folder: Path) -> tuple[str, str, str]:
    """Whom the header cannot convict, the published SHA-256 must."""
    if case.layout is None:
        return BEYOND, "", ""
    try:
        preprocess_records(
            _PREPARATION, database=case.database, folder=folder, records=(case.record_id,), layout=case.layout,
        )  # fmt: skip
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
    """The last function of ours, and the last at all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/ecgexp/" in frame.filename]
    names = dict.fromkeys(
        f"{Path(frame.filename).name}:{frame.name}" for frame in (*ours[-1:], frames[-1])
    )
    return ", ".join(names)
