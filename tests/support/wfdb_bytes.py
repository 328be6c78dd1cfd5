"""Write WFDB signal files of every format, from the specification (https://wfdb.io/spec).

`tests/unit/data/test_wfdb_formats.py` compares the bytes with those of files that the WFDB library
wrote for the tests of wfdb-python.
"""

import io

import numpy as np

BITS = {"16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10}
BITS |= {"311": 10, "508": 8, "516": 16, "524": 24, "8": 8}


def interleaved(signals, per_frame):
    """The samples of all signals in the order of a file: frame by frame, signal by signal."""
    frames = [
        np.asarray(each, np.int64).reshape(-1, width)
        for each, width in zip(signals, per_frame, strict=True)
    ]
    return np.concatenate(frames, axis=1).reshape(-1)


def signal_file(fmt, signals, per_frame=None):
    """The bytes of a file with one or several signals.

    Args:
      fmt: WFDB format.
      signals: For each signal its samples; in format 8 no step may exceed 8 bits.
      per_frame: Samples of each signal in a frame.
    """
    per_frame = per_frame or [1] * len(signals)
    if fmt in ("508", "516", "524"):
        return _flac(fmt, signals)
    if fmt == "8":
        signals = [np.diff(each, prepend=each[0]) for each in signals]
    return packed(fmt, interleaved(signals, per_frame))


def packed(fmt, values):
    """The bytes of samples in file order."""
    values = np.asarray(values, np.int64)
    if fmt in ("16", "24", "32"):
        return b"".join(int(v).to_bytes(BITS[fmt] // 8, "little", signed=True) for v in values)
    if fmt == "61":
        return b"".join(int(v).to_bytes(2, "big", signed=True) for v in values)
    if fmt == "8":
        return b"".join(int(v).to_bytes(1, "little", signed=True) for v in values)
    if fmt in ("80", "160"):
        width = BITS[fmt]
        return b"".join(int(v + 2 ** (width - 1)).to_bytes(width // 8, "little") for v in values)
    if fmt == "212":
        return _packed_212(values)
    return _packed_ten_bits(fmt, values)


def _packed_212(values):
    """Two samples of 12 bits in three bytes; of a last single sample two bytes are written."""
    content = bytearray()
    padded = [*(values & 0xFFF).tolist(), *[0] * (len(values) % 2)]
    for first, second in zip(padded[::2], padded[1::2], strict=True):
        content += bytes([first & 255, first >> 8 | second >> 8 << 4, second & 255])
    return bytes(content[: len(content) - len(values) % 2])


def _packed_ten_bits(fmt, values):
    """Three samples of 10 bits in four bytes."""
    content = bytearray()
    padded = [*(values & 0x3FF).tolist(), *[0] * (-len(values) % 3)]
    for first, second, third in zip(padded[::3], padded[1::3], padded[2::3], strict=True):
        if fmt == "310":
            low = first << 1 | (third & 31) << 11
            high = second << 1 | third >> 5 << 11
            content += low.to_bytes(2, "little") + high.to_bytes(2, "little")
        else:
            content += (first | second << 10 | third << 20).to_bytes(4, "little")
    return bytes(content)


def _flac(fmt, signals):
    """FLAC with a channel for each signal, which all have the same samples per frame."""
    import soundfile

    shift, subtype = {"508": (8, "PCM_S8"), "516": (0, "PCM_16"), "524": (8, "PCM_24")}[fmt]
    dtype = np.int32 if fmt == "524" else np.int16
    rows = (np.stack(signals, axis=1) << shift).astype(dtype)
    file = io.BytesIO()
    soundfile.write(file, rows, 96_000, subtype=subtype, format="FLAC")
    return file.getvalue()


def header(record_id, *, fs_hz, num_frames, lines):
    """A header; `lines` are those of the signals or segments."""
    length = "" if num_frames is None else f" {num_frames}"
    return "\n".join([f"{record_id} {len(lines)} {fs_hz}{length}", *lines]) + "\n"


def signal_line(file, fmt, values, name, *, per_frame=1, offset=0, gain="200(0)/mV"):
    """The line of a signal, with first value and checksum."""
    frame = f"x{per_frame}" if per_frame > 1 else ""
    begin = f"+{offset}" if offset else ""
    checksum = int(np.sum(values, dtype=np.int64)) % 65536
    return f"{file} {fmt}{frame}{begin} {gain} 12 0 {int(values[0])} {checksum} 0 {name}"
