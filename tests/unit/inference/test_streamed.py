"""A record that is annotated in blocks, or resumed, equals one that is annotated whole."""

import numpy as np
import pytest
from stubs import make_model

from ecgexp.data.formats.record import Record
from ecgexp.data.formats.stored_signals import StreamedRecord
from ecgexp.data.synthetic.example import FS_HZ, example_signals
from ecgexp.inference import streamed as module
from ecgexp.inference.record import annotate
from ecgexp.inference.streamed import Blocks, annotate_streamed

BLOCKS = [Blocks(samples=333, segments=1), Blocks(samples=5000, segments=2), Blocks()]
GAP = (7000, 7300)


@pytest.fixture(scope="module")
def record():
    signals_mv, r_peaks = example_signals(["MLII", "V1"], seconds=60.0)
    signals_mv = signals_mv.copy()
    signals_mv[10_000:14_000, 1] = 0.0  # flat in one lead
    return Record(
        record_id="a",
        patient_id="a",
        signals_mv=signals_mv,
        lead_names=("MLII", "V1"),
        fs_hz=float(FS_HZ),
        samples=r_peaks,
        symbols=np.full(len(r_peaks), "N"),
        gaps={"MLII": np.array([GAP])},
    )


@pytest.fixture
def model():
    options = {"leads": ("MLII", "V1"), "baseline": "median", "relocate_ms": 10.0}
    return make_model(uses_rr=True, uses_template=True, **options).classifier


def run(model, record, scratch, source, blocks=None):
    return annotate_streamed(
        model,
        StreamedRecord.in_memory(record),
        source=source,
        preprocessing=model.preprocessing,
        scratch=scratch,
        with_hashes=True,
        blocks=blocks,
    )


def compare(found, whole):
    np.testing.assert_array_equal(found.samples, whole.samples)
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    for name in ("references", "reasons", "quality"):
        assert getattr(found, name).tolist() == getattr(whole, name).tolist()
    assert (found.symbols, found.windows) == (whole.symbols, whole.windows)


@pytest.mark.parametrize("source", ["reference", "detector"])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_annotations_do_not_depend_on_the_blocks(blocks, source, record, model, tmp_path):
    whole = annotate(model, record, source=source)
    assert len(set(whole.reasons.tolist())) > 1
    assert whole.is_marked.any()
    found = run(model, record, tmp_path, source, blocks)
    compare(found, whole)
    rows = np.concatenate([rr for _, rr, _ in model.seen[1:]])
    np.testing.assert_array_equal(rows, model.seen[0][1])
    for (_, _, templates), (_, _, ours) in zip(model.seen[:1], model.seen[1:2], strict=True):
        np.testing.assert_array_equal(templates[0], ours[0])


@pytest.mark.parametrize("calls", [1, 3, 5, 9])
def test_interrupted_annotation_is_resumed(calls, record, model, tmp_path, monkeypatch):
    whole = annotate(model, record, source="detector")
    monkeypatch.setattr(module, "ROWS", 16)
    left = [calls]

    def interrupt(share, what):
        left[0] -= what in ("cutting windows", "classifying")
        if left[0] < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_streamed(
            model,
            StreamedRecord.in_memory(record),
            source="detector",
            preprocessing=model.preprocessing,
            scratch=tmp_path,
            on_progress=interrupt,
            blocks=Blocks(samples=4000),
        )
    monkeypatch.setattr(module, "choose_beats", None)  # beats are not detected again
    compare(run(model, record, tmp_path, "detector"), whole)
