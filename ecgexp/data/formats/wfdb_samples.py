"""Decode the signal files of WFDB (https://wfdb.io/spec/signal-files.html).

All formats are decoded here, because wfdb 4.3 does not read several samples per frame in format 61
and takes the sum of both neighbors' bits in format 311; tests compare with wfdb where it is right.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import soundfile

LARGEST_NUM_SAMPLES = 2**31
"""Samples of a file; more would not fit into memory in millivolts."""

DIFFERENCES = "8"
"""The format that holds the difference to the sample before, and has no code for a gap."""

_CHUNK = 1 << 20  # samples; libsndfile fails on blocks of more than 2**24
_FLAC_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}


class NotDecoded(Exception):
    """Its message continues a sentence that begins with the file's name."""


@dataclass(frozen=True, kw_only=True)
class SampleFormat:
    """How samples are packed.

    Attributes:
      num_samples: Samples in a block; 0 for compressed files.
      num_bytes: Bytes of a block.
      started: Bytes of a last block that is not complete, by its number of samples; writers may
        also complete it.
      invalid: Value that means "no sample"; None: the format has none.
      decode: Whole blocks, (num_blocks, num_bytes) uint8 -> (num_blocks * num_samples,) integers.
    """

    num_samples: int
    num_bytes: int
    started: tuple[tuple[int, ...], ...] = ()
    invalid: int | None
    decode: Callable[[np.ndarray], np.ndarray]


def _as_type(dtype: str, shift: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    def decode(blocks: np.ndarray) -> np.ndarray:
        values = blocks.reshape(-1).view(dtype)
        return values.astype(np.int32) - shift if shift else values

    return decode


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Interpret the lowest `bits` of int16 as two's complement."""
    sign = 1 << (bits - 1)
    values ^= sign
    values -= sign
    return values


def _decode_24(blocks: np.ndarray) -> np.ndarray:
    words = np.zeros((len(blocks), 4), np.uint8)
    words[:, 1:] = blocks
    return words.reshape(-1).view("<i4") >> 8


def _decode_212(blocks: np.ndarray) -> np.ndarray:
    values = np.empty((len(blocks), 2), np.int16)
    middle = blocks[:, 1].astype(np.int16)
    values[:, 0] = blocks[:, 0] | (middle & 0x0F) << 8
    values[:, 1] = blocks[:, 2] | (middle >> 4) << 8
    return _signed(values.reshape(-1), 12)


def _decode_310(blocks: np.ndarray) -> np.ndarray:
    words = blocks.reshape(-1).view("<u2").reshape(-1, 2)
    values = np.empty((len(blocks), 3), np.int16)
    values[:, :2] = words >> 1 & 0x3FF
    values[:, 2] = words[:, 0] >> 11 | (words[:, 1] >> 11) << 5
    return _signed(values.reshape(-1), 10)


def _decode_311(blocks: np.ndarray) -> np.ndarray:
    words = blocks.reshape(-1).view("<u4")
    values = np.empty((len(blocks), 3), np.int16)
    for column in range(3):
        values[:, column] = words >> 10 * column & 0x3FF
    return _signed(values.reshape(-1), 10)


def _flac(bits: int) -> SampleFormat:
    return SampleFormat(
        num_samples=0, num_bytes=0, invalid=-(2 ** (bits - 1)), decode=_as_type("<i4")
    )


FORMATS: Mapping[str, SampleFormat] = {
    DIFFERENCES: SampleFormat(num_samples=1, num_bytes=1, invalid=None, decode=_as_type("i1")),
    "16": SampleFormat(num_samples=1, num_bytes=2, invalid=-(2**15), decode=_as_type("<i2")),
    "24": SampleFormat(num_samples=1, num_bytes=3, invalid=-(2**23), decode=_decode_24),
    "32": SampleFormat(num_samples=1, num_bytes=4, invalid=-(2**31), decode=_as_type("<i4")),
    "61": SampleFormat(num_samples=1, num_bytes=2, invalid=-(2**15), decode=_as_type(">i2")),
    "80": SampleFormat(num_samples=1, num_bytes=1, invalid=-(2**7), decode=_as_type("u1", 2**7)),
    "160": SampleFormat(
        num_samples=1, num_bytes=2, invalid=-(2**15), decode=_as_type("<u2", 2**15)
    ),
    "212": SampleFormat(
        num_samples=2, num_bytes=3, started=((2,),), invalid=-(2**11), decode=_decode_212
    ),
    "310": SampleFormat(
        num_samples=3, num_bytes=4, started=((2,), (4,)), invalid=-(2**9), decode=_decode_310
    ),
    "311": SampleFormat(
        num_samples=3, num_bytes=4, started=((2,), (3,)), invalid=-(2**9), decode=_decode_311
    ),
    "508": _flac(8),
    "516": _flac(16),
    "524": _flac(24),
}


def num_samples_of(path: Path, fmt: str, offset: int, num_channels: int) -> int:
    """Return how many complete samples a file has behind an offset.

    Args:
      path: The file.
      fmt: Its format, of `FORMATS`.
      offset: As in the header: bytes, or samples of a channel in compressed formats.
      num_channels: Signals in the file.

    Returns:
      Number of samples of all signals together.

    Raises:
      NotDecoded: It is not a compressed file although its format is one.
    """
    form = FORMATS[fmt]
    if not form.num_samples:
        with _opened(path, fmt, num_channels) as file:
            return max(file.frames - offset, 0) * num_channels
    found = max(path.stat().st_size - offset, 0)
    blocks, rest = divmod(found, form.num_bytes)
    started = sum(min(sizes) <= rest for sizes in form.started)
    return blocks * form.num_samples + started


def sizes(fmt: str, num_samples: int) -> list[int]:
    """Return the possible sizes in bytes of samples in a format that is not compressed."""
    form = FORMATS[fmt]
    blocks, rest = divmod(num_samples, form.num_samples)
    started = form.started[rest - 1] if rest else (0,)
    whole = (blocks + bool(rest)) * form.num_bytes
    return sorted({*(blocks * form.num_bytes + size for size in started), whole})


def read_samples(
    path: Path, fmt: str, offset: int, *, num_frames: int, per_frame: tuple[int, ...]
) -> list[np.ndarray]:
    """Read the samples of each signal of a file.

    Args:
      path: A regular file that has at least these samples.
      fmt: Its format, of `FORMATS`.
      offset: As in the header: bytes, or samples of a channel in compressed formats.
      num_frames: Frames to read.
      per_frame: Samples of each signal in a frame.

    Returns:
      For each signal (num_frames * its samples per frame,) integers: the samples, or the
      differences in format 8. They may be views of one array.

    Raises:
      NotDecoded: The file is not what its format says.
    """
    num_samples = num_frames * sum(per_frame)
    if num_samples > LARGEST_NUM_SAMPLES:
        raise NotDecoded(f"has {num_samples} samples, but at most {LARGEST_NUM_SAMPLES} are read")
    form = FORMATS[fmt]
    if not form.num_samples:
        return _read_flac(path, fmt, offset, num_frames, per_frame)
    content = np.fromfile(path, np.uint8, count=max(sizes(fmt, num_samples)), offset=offset)
    return _decoded(content, form, num_frames, per_frame)


def samples_in_blocks(
    path: Path, fmt: str, offset: int, *, num_frames: int, per_frame: tuple[int, ...], block: int
) -> Iterator[list[np.ndarray]]:
    """Read what `read_samples` reads, in blocks.

    Args:
      path: See `read_samples`.
      fmt: See `read_samples`.
      offset: See `read_samples`.
      num_frames: See `read_samples`.
      per_frame: See `read_samples`.
      block: About as many frames are read at once.

    Yields:
      For each signal its next samples.

    Raises:
      NotDecoded: The file is not what its format says.
    """
    num_samples = num_frames * sum(per_frame)
    if num_samples > LARGEST_NUM_SAMPLES:
        raise NotDecoded(f"has {num_samples} samples, but at most {LARGEST_NUM_SAMPLES} are read")
    form = FORMATS[fmt]
    if not form.num_samples:
        yield from _flac_in_blocks(path, fmt, offset, num_frames, per_frame, block)
        return
    block = -(-block // form.num_samples) * form.num_samples  # whole groups of packed samples
    for begin in range(0, num_frames, block):
        frames = min(block, num_frames - begin)
        start = begin * sum(per_frame) // form.num_samples * form.num_bytes
        size = max(sizes(fmt, frames * sum(per_frame)))
        content = np.fromfile(path, np.uint8, count=size, offset=offset + start)
        yield _decoded(content, form, frames, per_frame)


def _decoded(
    content: np.ndarray, form: SampleFormat, num_frames: int, per_frame: tuple[int, ...]
) -> list[np.ndarray]:
    """Decode the bytes of frames."""
    num_samples = num_frames * sum(per_frame)
    blocks = -(-num_samples // form.num_samples)
    if len(content) < blocks * form.num_bytes:  # the last block is not complete
        content = np.concatenate(
            [content, np.zeros(blocks * form.num_bytes - len(content), np.uint8)]
        )
    flat = form.decode(content.reshape(-1, form.num_bytes))[:num_samples]
    frames = flat.reshape(num_frames, -1)
    ends = np.cumsum(per_frame)
    return [
        frames[:, end - width : end].reshape(-1) for end, width in zip(ends, per_frame, strict=True)
    ]


def _opened(path: Path, fmt: str, num_channels: int) -> "soundfile.SoundFile":
    """Open a FLAC file and compare it with its format; the caller closes it."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: libsndfile is missing
        raise NotDecoded(
            f"is compressed (format {fmt}), which needs the package soundfile ({error}); install "
            "soundfile, or convert the record with WFDB's xform"
        ) from error
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise NotDecoded(f"is not a FLAC file, as format {fmt} says") from error
    bits = _FLAC_BITS.get(file.subtype, 99)
    wrong = None
    if file.format != "FLAC":
        wrong = f"is a {file.format} file, not FLAC, as format {fmt} says"
    elif bits > int(fmt) - 500:
        wrong = f"has {bits} bits, more than format {fmt} allows"
    elif file.channels != num_channels:
        wrong = f"has {file.channels} signals, but its header states {num_channels}"
    if wrong is not None:
        file.close()
        raise NotDecoded(wrong)
    return file


def _flac_in_blocks(
    path: Path, fmt: str, offset: int, num_frames: int, per_frame: tuple[int, ...], block: int
) -> Iterator[list[np.ndarray]]:
    import soundfile

    _check_equal(per_frame)
    with _opened(path, fmt, len(per_frame)) as file:
        shift = 32 - _FLAC_BITS[file.subtype]  # soundfile shifts samples to the highest bits
        try:
            file.seek(offset)
            done, num_rows = 0, num_frames * per_frame[0]
            while done < num_rows:
                # libsndfile fails on blocks of more than 2**24 samples.
                wanted = min(block * per_frame[0], _CHUNK, num_rows - done)
                rows = np.asarray(file.read(wanted, dtype="int32", always_2d=True), np.int32)
                if not len(rows):
                    raise NotDecoded(f"has {done} samples of each signal, fewer than stated")
                done += len(rows)
                yield list((rows >> shift).T)
        except soundfile.SoundFileError as error:
            raise NotDecoded("is a damaged FLAC file") from error


def _check_equal(per_frame: tuple[int, ...]) -> None:
    if len(set(per_frame)) > 1:
        raise NotDecoded(
            f"has signals with {sorted(set(per_frame))} samples per frame, but those of one "
            "compressed file are equal"
        )


def _read_flac(
    path: Path, fmt: str, offset: int, num_frames: int, per_frame: tuple[int, ...]
) -> list[np.ndarray]:
    import soundfile

    _check_equal(per_frame)
    num_rows = num_frames * per_frame[0]
    with _opened(path, fmt, len(per_frame)) as file:
        # A flat signal compresses a thousandfold: memory is used only as far as samples are read.
        rows = np.empty((num_rows, len(per_frame)), np.int32)
        try:
            file.seek(offset)
            done = 0
            while done < num_rows:
                read = file.read(dtype="int32", out=rows[done : done + _CHUNK])
                if not len(read):
                    raise NotDecoded(f"has {done} samples of each signal, fewer than stated")
                done += len(read)
        except soundfile.SoundFileError as error:
            raise NotDecoded("is a damaged FLAC file") from error
    rows >>= 32 - _FLAC_BITS[file.subtype]  # soundfile shifts samples to the highest bits
    return list(rows.T)
