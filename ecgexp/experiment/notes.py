"""The notes of a run, and the lines that its console shows.

A note is a sentence about what a result lacks or depends on; it is part of the result.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ecgexp.console import Console
from ecgexp.privacy.outputs import PRIVATE_FOLDER
from ecgexp.privacy.publication import is_published
from ecgexp.tracking.publishing import Publishing

Notes = dict[str, list[str]]
"""Subject of the notes (`training`, `selection`, `test`, ...) -> sentences."""

WITHHELD = (
    "whether every class has training beats, and every batch or round a unit, is recorded only for "
    "the owner of the data, in "
    f"{PRIVATE_FOLDER}/values.json of the run's folder"
)


def published(notes: Notes, *, withholds: bool) -> Notes:
    """Return the notes that every output may contain.

    **Guarantees**: where a privacy guarantee withholds what was computed from training beats, the
    result does not depend on it: one sentence says where such notes are stored, whether there are
    any or not (`tests/unit/experiment/test_class_coverage.py`).

    Args:
      notes: all notes.
      withholds: whether what was computed from training beats is withheld.
    """
    if not withholds:
        return notes
    return {
        about: texts
        for about, texts in notes.items()
        if is_published("result key", f"notes/{about}")
    } | {"private": [WITHHELD]}


def lines(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line per note, which begins with its subject.

    Args:
      notes: subject -> sentences.
    """
    return [f"{about}: {text}" for about, texts in notes.items() for text in texts]


class Messages:
    """The messages of a run: console lines, as far as they may be published, and notes.

    The notes are also part of the result.

    Args:
      publishing: decides what may be published.
      console: shows the messages.
    """

    def __init__(self, publishing: Publishing, console: Console):
        self._publishing, self._console = publishing, console
        self._notes: Notes = {}
        self._printed: set[str] = set()

    @property
    def published(self) -> Notes:
        """The notes that every output may contain."""
        return published(self._notes, withholds=self._publishing.withholds)

    def of_result(self) -> Notes:
        """Return all notes; the publishing of the result removes those that are withheld."""
        return {**self._notes, **self.published} if self._publishing.withholds else self._notes

    def print(self, name: str, text: Any) -> None:
        """Print a message if what has this name may be published.

        Args:
          name: of the message, e.g. `resumes`.
          text: a line or a table.
        """
        if self._publishing.tells(name):
            self._console.print(text)

    def print_result(self, name: str, text: Any) -> None:
        """Print a part of the result if what has this name may be published.

        Args:
          name: of the part, e.g. `statement`.
          text: a line or a table.
        """
        if self._publishing.tells(name):
            self._console.print_result(text)

    def add(self, notes: Mapping[str, Sequence[str]]) -> None:
        """Add notes.

        Args:
          notes: subject -> sentences; subjects without sentences are ignored.
        """
        for about, texts in notes.items():
            if texts:
                self._notes[about] = [*self._notes.get(about, []), *texts]

    def print_notes(self, *, with_result: bool = False) -> None:
        """Print the notes so far that may be published and have not been printed.

        Args:
          with_result: whether they are part of the printed result, as limitations of its scores.
        """
        show = self.print_result if with_result else self.print
        for line in lines(self.published):
            if line not in self._printed:
                self._printed.add(line)
                show("notes", f"note: {line}")
