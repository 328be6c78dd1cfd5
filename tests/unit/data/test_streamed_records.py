"""A record that is read in blocks equals the one that is read whole."""

import numpy as np
import pytest
from tiny_records import TINY
from wfdb_bytes import signal_file

from ecgexp.data.formats.gaps import find_gaps
from ecgexp.data.formats.stored_signals import LeadWriter, StoredLead
from ecgexp.data.formats.wfdb_reader import read_record
from ecgexp.data.formats.wfdb_samples import FORMATS
from ecgexp.data.formats.wfdb_stream import store_record
from ecgexp.settings.declaration import DataError

FRAMES = 977  # prime: no block of packed samples ends with the file
BLOCKS = (1, 100, 10_000)


def write(folder, name, fmt, *, per_frame=(1, 1), skew=(0, 0), leads=("MLII", "V1"), seed=0):
    """A record with gaps, without annotations; the header states its checksums."""
    rng = np.random.default_rng(seed)
    signals = [rng.integers(-100, 100, FRAMES * width) // 2 for width in per_frame]
    invalid = FORMATS[fmt].invalid
    if invalid is not None:
        for signal in signals:
            signal[40:90] = signal[-7:] = signal[500] = invalid
    (folder / f"{name}.dat").write_bytes(signal_file(fmt, signals, list(per_frame)))
    lines = [f"{name} {len(signals)} 360 {FRAMES}"]
    for lead, signal, width, late in zip(leads, signals, per_frame, skew, strict=True):
        total = int(signal.sum()) % 2**16
        fields = f"{fmt}x{width}" + (f":{late}" if late else "")
        lines.append(f"{name}.dat {fields} 50/mV 12 0 {signal[0]} {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


def compare(folder, name, tmp_path, *, leads=(("MLII",),), block=100):
    """Compare with the whole record, in parts that begin anywhere."""
    wanted = [spelling for spellings in leads for spelling in spellings]
    whole = read_record(folder, name, TINY, wanted, annotator=None)
    scratch = tmp_path / f"scratch{block}"
    scratch.mkdir()
    found = store_record(folder, name, TINY, leads, annotator=None, scratch=scratch, block=block)
    record, signals = found.record, found.signals
    assert record.lead_names == whole.lead_names
    assert record.signals_mv.shape == whole.signals_mv.shape
    assert record.unusable == whole.unusable
    assert record.notes == whole.notes
    assert record.samples_per_frame == whole.samples_per_frame
    for name, gaps in whole.gaps.items():
        np.testing.assert_array_equal(record.gaps[name], gaps)
    assert record.gaps.keys() == whole.gaps.keys()
    kept = [whole.lead_names.index(name) for name in wanted if name in whole.lead_names]
    for column in kept:
        ends = [0, 1, 45, 60, 500, 501, len(signals) - 3, len(signals)]
        parts = [signals.read(column, *pair) for pair in zip(ends, ends[1:], strict=False)]
        np.testing.assert_array_equal(np.concatenate(parts), whole.signals_mv[:, column])


@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_every_format_is_read_in_blocks_as_whole(fmt, tmp_path):
    write(tmp_path, "a", fmt)
    for block in BLOCKS:
        compare(tmp_path, "a", tmp_path, block=block)


@pytest.mark.parametrize("leads", [(("MLII",),), (("V1",),), (("MLII",), ("V1",)), (("II",),)])
def test_leads_of_several_rates_are_averaged(leads, tmp_path):
    write(tmp_path, "a", "16", per_frame=(4, 2))
    compare(tmp_path, "a", tmp_path, leads=leads)


def test_lead_that_is_late_is_shifted(tmp_path):
    write(tmp_path, "a", "212", skew=(17, 0))
    write(tmp_path, "b", "212", skew=(0, FRAMES))
    compare(tmp_path, "a", tmp_path, block=10)
    compare(tmp_path, "b", tmp_path, block=11)


def test_segments_are_joined_with_gaps(tmp_path):
    write(tmp_path, "a", "212")
    write(tmp_path, "b", "16", leads=("V1", "V5"), seed=1)
    write(tmp_path, "c", "80", leads=("MLII", "V5"), seed=2)
    names = f"~ 33\na {FRAMES}\nb {FRAMES}\n~ 5\nc {FRAMES}\n"
    (tmp_path / "m.hea").write_text(f"m/5 2 360 {3 * FRAMES + 38}\n{names}")
    for block in BLOCKS:
        compare(tmp_path, "m", tmp_path, leads=(("MLII",), ("V5",)), block=block)


def test_changed_sample_is_refused_by_the_checksum(tmp_path):
    write(tmp_path, "a", "16")
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[800] ^= 1
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.dat does not have its header's checksum.*write it"):
        store_record(tmp_path, "a", TINY, [["MLII"]], annotator=None, scratch=tmp_path)


def test_writer_joins_gaps_of_its_parts(tmp_path):
    rng = np.random.default_rng(0)
    lead_mv, missing = rng.normal(size=500), rng.random(500) < 0.6
    with LeadWriter(tmp_path / "lead") as writer:
        for begin in range(0, 500, 7):
            writer.add(lead_mv[begin : begin + 7], missing[begin : begin + 7])
    np.testing.assert_array_equal(writer.gaps(), find_gaps(missing))
    stored = writer.stored(1)
    assert isinstance(stored, StoredLead)
    np.testing.assert_array_equal(stored.read(0, 500)[~missing], lead_mv[~missing])
