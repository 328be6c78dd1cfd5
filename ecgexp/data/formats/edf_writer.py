"""Write annotations as an EDF+ file without signals (https://www.edfplus.info/specs/edfplus.html).

Patient, recording and date are anonymous: the file states nothing of the recording but times.
"""

from collections.abc import Iterable
from pathlib import Path

_RECORD_BYTES = 16_384
_HEADER = "0       " + "X X X X".ljust(80) + "Startdate X X X X".ljust(80) + "01.01.8500.00.00"


def write_edf_annotations(path: Path, annotations: Iterable[tuple[float, str]]) -> None:
    """Write annotations with their times, as EDF+C with one signal `EDF Annotations`.

    Args:
      path: The file.
      annotations: Seconds from the start of the recording, and a text without control characters.
    """
    with path.open("wb") as file:
        file.write(_header(0))
        number, begin = 0, b"+0\x14\x14\x00"  # each data record begins with its time
        content = begin
        for seconds, text in annotations:
            entry = f"+{seconds:.6f}".rstrip("0").rstrip(".").encode() + b"\x14"
            entry += text.encode() + b"\x14\x00"
            if len(content) + len(entry) > _RECORD_BYTES:
                file.write(content.ljust(_RECORD_BYTES, b"\x00"))
                number, content = number + 1, begin
            content += entry
        file.write(content.ljust(_RECORD_BYTES, b"\x00"))
        file.seek(0)
        file.write(_header(number + 1))


def _header(num_records: int) -> bytes:
    # A duration of 0 is that of files that have only annotations.
    head = f"{_HEADER}{512:<8}{'EDF+C':<44}{num_records:<8}{0:<8}{1:<4}"
    limits = f"{-1:<8}{1:<8}{-32768:<8}{32767:<8}"
    signal = (
        f"{'EDF Annotations':<16}{'':<80}{'':<8}{limits}{'':<80}{_RECORD_BYTES // 2:<8}{'':<32}"
    )
    return (head + signal).encode("ascii")
