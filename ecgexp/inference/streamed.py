"""Annotation of a recording of any length: block by block, in memory that does not grow with it.

The recording is read four times, each time in blocks: beats are detected and segments marked, then
windows are cut to a file, then the template and the classes are computed from that file. What is
finished stays in the folder of the unfinished record, from which an interrupted command resumes.

**Guarantees**: The annotations equal those of `record.annotate` bit for bit, whatever the blocks,
and also after an interruption (`tests/unit/inference/test_streamed.py`). A resumed annotation
was begun with the same model, settings and files, or it is refused.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgexp.data.beats import NO_INTERVAL
from ecgexp.data.formats.record import Record
from ecgexp.data.formats.stored_signals import StreamedRecord
from ecgexp.data.identity import window_hashes
from ecgexp.data.preprocessing.blocks import BLOCK, WindowCutter
from ecgexp.data.preprocessing.one_record import IN_GAP, LEFT_RECORD, touches_gap
from ecgexp.data.preprocessing.qrs_detection import candidates_in_blocks, choose_beats, joined
from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.data.quality.segments import MARKS, mark_codes, segment_length
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import RecordBeats, RecordFeatures
from ecgexp.inference.record import (
    Annotated,
    Source,
    aliases_of,
    check_has_beats,
    with_detected,
)
from ecgexp.inference.window_store import WindowStore
from ecgexp.models.classifier import Classifier
from ecgexp.models.preprocessing import ModelPreprocessing
from ecgexp.storage.atomic import replacing

ROWS = 8192
"""Beats that are classified at once: whole batches of the model, so that digits do not change."""

_SEGMENTS = 64
_BEATS, _CUT, _PLACES = "beats.npz", "cut.json", "places.i64"
_WINDOWS, _PROBABILITIES = "windows.f32", "probabilities.f64"

OnProgress = Callable[[float, str], None]
"""Called with the share that is done of a step, and the name of the step."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How much is in memory at once; results do not depend on it.

    Attributes:
      samples: Samples of a lead that are preprocessed at once.
      segments: Segments that are marked at once.
    """

    samples: int = BLOCK
    segments: int = _SEGMENTS


def annotate_streamed(
    classifier: Classifier,
    streamed: StreamedRecord,
    *,
    source: Source,
    preprocessing: ModelPreprocessing,
    scratch: Path,
    with_hashes: bool = False,
    on_progress: OnProgress = lambda share, what: None,
    blocks: Blocks | None = None,
) -> Annotated:
    """Classify every beat of a recording, as `record.annotate` does.

    Args:
      classifier: The model.
      streamed: The recording, with reference annotations if it has any.
      source: See `record.annotate`.
      preprocessing: See `record.annotate`.
      scratch: Folder of the unfinished record: what is finished in it is not computed again.
      with_hashes: Whether `Annotated.windows` is needed, to recognize copies.
      on_progress: Called now and then.
      blocks: How much is in memory at once.

    Returns:
      The beats and predictions.

    Raises:
      DataError: See `record.annotate`.
    """
    blocks = blocks or Blocks()
    record = streamed.record
    columns, substitute = preprocessing.columns(record)
    samples, codes = _found_beats(streamed, columns, source, scratch, on_progress, blocks)
    symbols, detection = record.beat_symbols, None
    if source == "detector":
        record, detection, symbols = with_detected(record, samples)
    check_has_beats(record, columns, source)
    settings = preprocessing.records
    store = WindowStore(scratch / _WINDOWS, (sum(settings.window_samples), len(columns)))
    cut = _Cut(streamed, record, columns, preprocessing, scratch, store)
    reasons = cut.run(on_progress, blocks)
    probabilities = np.full((len(samples), len(classifier.class_names)), np.nan)
    is_usable = reasons == ""
    if is_usable.any():
        probabilities[is_usable] = _classified(
            classifier, preprocessing, record, is_usable, store, scratch, on_progress
        )
    hashes: list[int | None] = []
    if with_hashes:
        for begin in range(0, int(is_usable.sum()), ROWS):
            hashes += window_hashes(store.read(begin, begin + ROWS))
    return Annotated(
        record_id=record.record_id,
        fs_hz=record.fs_hz,
        source=source,
        class_names=classifier.class_names,
        samples=samples,
        probabilities=probabilities,
        reasons=reasons,
        references=symbols,
        num_outside=sum(record.outside.values()),
        detection=detection,
        substitute=substitute,
        aliases=aliases_of(record, preprocessing),
        windows=tuple(hashes),
        quality=_quality_of_beats(record, columns, codes, samples),
        segments=_first_mark(codes),
        num_samples=len(streamed.signals) // record.samples_per_frame,
    )


def _found_beats(
    streamed: StreamedRecord,
    columns: Sequence[int],
    source: Source,
    scratch: Path,
    on_progress: OnProgress,
    blocks: Blocks,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of the beats, and (leads, num_segments) int8, marks of segments."""
    path, record, signals = scratch / _BEATS, streamed.record, streamed.signals
    if path.exists():
        with np.load(path, allow_pickle=False) as found:
            return found["samples"], found["codes"]
    samples = record.beat_samples
    if source == "detector":
        parts = []
        for part, end in candidates_in_blocks(
            lambda begin, end: signals.read(columns[0], begin, end), len(signals), record.signal_hz
        ):
            parts.append(part)
            on_progress(end / len(signals), "detecting beats")
        candidates = joined(parts)
        parts.clear()  # some ten candidates a second
        samples = choose_beats(candidates, len(signals), record.signal_hz)
        samples = np.unique(samples // record.samples_per_frame)
    codes = np.stack(
        [
            _marks(streamed, column, blocks.segments, lambda share: on_progress(share, "quality"))
            for column in columns
        ]
    )
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, samples=samples, codes=codes)
    return samples, codes


def _marks(
    streamed: StreamedRecord, column: int, at_once: int, on_share: Callable[[float], None]
) -> np.ndarray:
    """Return (num_segments,) int8, places in `MARKS`, as `segments.segment_marks` does."""
    signals, fs_hz = streamed.signals, streamed.record.signal_hz
    length = min(segment_length(fs_hz), len(signals))
    last = length * (len(signals) // length - 1)  # the last segment has up to twice as many samples
    parts = []
    for begin in range(0, last, at_once * length):
        end = min(begin + at_once * length, last)
        parts.append(mark_codes(signals.read(column, begin, end).reshape(-1, length), fs_hz))
        on_share(end / len(signals))
    parts.append(mark_codes(signals.read(column, last, len(signals))[None], fs_hz))
    return np.concatenate(parts)


def _first_mark(codes: np.ndarray) -> np.ndarray:
    """Return (num_segments,) int8, the mark of the first marked lead."""
    return np.take_along_axis(codes, (codes != 0).argmax(axis=0)[None], axis=0)[0]


def _quality_of_beats(
    record: Record, columns: Sequence[int], codes: np.ndarray, samples: np.ndarray
) -> np.ndarray:
    """Return (num_beats,) str objects, as `record.annotate` does."""
    length = min(segment_length(record.signal_hz), len(record.signals_mv))
    places = np.clip(samples * record.samples_per_frame // length, 0, codes.shape[1] - 1)
    found = np.full(len(samples), "", object)
    for lead in reversed(range(len(columns))):
        for code in np.unique(codes[lead]).tolist():
            if code:
                text = f"{record.lead_names[columns[lead]]} {MARKS[code]}"
                found[codes[lead][places] == code] = text
    return found


class _Cut:
    """Cuts all windows into the store, from where an interrupted command stopped."""

    def __init__(
        self,
        streamed: StreamedRecord,
        record: Record,
        columns: Sequence[int],
        preprocessing: ModelPreprocessing,
        scratch: Path,
        store: WindowStore,
    ):
        self._streamed, self._record, self._columns = streamed, record, columns
        self._preprocessing, self._scratch, self._store = preprocessing, scratch, store

    def run(self, on_progress: OnProgress, blocks: Blocks) -> np.ndarray:
        """Cut the windows; return (num_beats,) str objects, why a beat cannot be classified."""
        record, settings = self._record, self._preprocessing.records
        samples, path = record.beat_samples, self._scratch / _CUT
        done = json.loads(path.read_text(encoding="utf-8"))["beats"] if path.exists() else 0
        moved_path = self._scratch / _PLACES
        moved_path.touch()
        with moved_path.open("rb+") as file:
            file.truncate(8 * done)
        before, after = settings.window_samples
        if done < len(samples):
            cutter = WindowCutter(self._streamed, self._columns, settings, self._scratch)
            places = np.rint(samples * (settings.fs_hz / record.fs_hz)).astype(np.int64)
            written = self._used(np.fromfile(moved_path, np.int64), cutter.num_samples)[0]
            self._store.truncate(int(written.sum()))
            for block in cutter.blocks(places, first=done, block=blocks.samples):
                is_used, is_in_gap = self._used(block.places, cutter.num_samples)
                self._store.append(block.windows_mv[~is_in_gap[block.is_inside]])
                with moved_path.open("ab") as file:
                    file.write(block.places.data)
                done += len(block.places)
                with replacing(path) as part:
                    part.write_text(
                        json.dumps({"beats": done, "samples": cutter.num_samples}), encoding="utf-8"
                    )
                on_progress(block.done / cutter.num_samples, "cutting windows")
        places = np.fromfile(moved_path, np.int64)
        length = json.loads(path.read_text(encoding="utf-8"))["samples"]
        is_used, is_in_gap = self._used(places, length)
        reasons = np.full(len(places), "", object)
        reasons[is_in_gap] = IN_GAP
        reasons[(places < before) | (places + after > length)] = LEFT_RECORD
        if self._preprocessing.features.uses_rr and len(samples) == 1:
            reasons[reasons == ""] = NO_INTERVAL  # the only beat of a record
        return reasons

    def _used(self, places: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which windows are stored, and which beats depend on a gap."""
        settings = self._preprocessing.records
        before, after = settings.window_samples
        is_in_gap = touches_gap(self._record, self._columns, places, settings)
        return (places >= before) & (places + after <= length) & ~is_in_gap, is_in_gap


def _classified(
    classifier: Classifier,
    preprocessing: ModelPreprocessing,
    record: Record,
    is_usable: np.ndarray,
    store: WindowStore,
    scratch: Path,
    on_progress: OnProgress,
) -> np.ndarray:
    """Return (num_usable, num_classes) float64."""
    features, number = preprocessing.features, int(is_usable.sum())
    path, num_classes = scratch / _PROBABILITIES, len(classifier.class_names)
    path.touch()
    done = path.stat().st_size // (8 * num_classes) // ROWS * ROWS
    with path.open("rb+") as file:
        file.truncate(8 * num_classes * done)
    if done < number:
        rr = rr_features(record.beat_samples, record.fs_hz)[is_usable] if features.uses_rr else None
        values = _record_values(features, record, is_usable, store)
        template = store.template() if features.uses_template else None
        with path.open("ab") as file:
            for begin in range(done, number, ROWS):
                windows = store.read(begin, begin + ROWS)
                found = classifier.predict_probabilities(
                    windows,
                    None if rr is None else rr[begin : begin + ROWS],
                    None if template is None else np.broadcast_to(template, windows.shape),
                    None if values is None else values[begin : begin + ROWS],
                )
                file.write(np.ascontiguousarray(found, np.float64).data)
                on_progress(min(begin + ROWS, number) / number, "classifying")
    return np.fromfile(path, np.float64).reshape(-1, num_classes)


def _record_values(
    features: Features, record: Record, is_usable: np.ndarray, store: WindowStore
) -> np.ndarray | None:
    """Return the values of features that need all windows of the record, which are then in memory.

    They are those of `ModelPreprocessing.inputs`.
    """
    if not isinstance(features, RecordFeatures):
        return None
    return features.of_record(
        RecordBeats(
            seconds=record.beat_samples / record.fs_hz,
            rows=np.flatnonzero(is_usable),
            signals_mv=store.read(0, len(store)),
            rr=rr_features(record.beat_samples, record.fs_hz)[is_usable],
            template_mv=store.template(),
        )
    )
