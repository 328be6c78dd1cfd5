"""Parse the annotations of EDF+: time-stamped annotations lists (TALs) of each data record.

Each record begins with a list that states when the record begins
(https://www.edfplus.info/specs/edfplus.html, 2.2).
"""

import re
from dataclasses import dataclass

_LIST = re.compile(
    rb"(?P<onset>[+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15(?P<duration>\d{1,12}(?:\.\d{0,12})?))?"
    rb"\x14(?P<texts>(?:[^\x00\x14]*\x14)*)\x00"
)


class NotAnnotations(Exception):
    """Its message continues a sentence that begins with the file's name."""


@dataclass(frozen=True, kw_only=True)
class TimedText:
    """An annotation.

    Attributes:
      seconds: Its onset, from the beginning of the file.
      text: Free text, which may name persons.
    """

    seconds: float
    text: str


def parse_lists(content: bytes, number: int) -> tuple[float | None, list[TimedText]]:
    """Parse the annotation signal of one data record.

    Args:
      content: Its bytes.
      number: Number of the record, for messages.

    Returns:
      begin: When the record begins, in seconds; None if its first list does not state it.
      annotations: Its annotations, in the order of the file.

    Raises:
      NotAnnotations: The bytes are not lists of annotations.
    """
    begin, found, place = None, [], 0
    content = content.rstrip(b"\0")
    if content:
        content += b"\0"
    while place < len(content):
        one = _LIST.match(content, place)
        if one is None:
            raise NotAnnotations(f"has damaged annotations in data record {number}")
        texts = one["texts"].split(b"\x14")[:-1]
        if place == 0 and texts[:1] == [b""]:
            begin = float(one["onset"])
        found += [
            TimedText(seconds=float(one["onset"]), text=_decoded(text).strip())
            for text in texts
            if text
        ]
        place = one.end()
    return begin, found


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
