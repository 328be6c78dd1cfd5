"""The symbols of annotations: taken from the symbol or the note, and mapped to those of WFDB."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ecgexp.data.formats.record import SymbolsFrom
from ecgexp.data.formats.wfdb_annotations import SYMBOLS

WITHOUT_NOTE = "annotation without a note, which is no beat with dataset.symbols_from=aux_note"
OTHER_NOTE = (
    "annotation with another note that dataset.symbols does not map, which is no beat; the text is "
    "not shown, because it may name a person"
)
_KNOWN = frozenset(SYMBOLS.values())
_NO_BEAT = '"'  # WFDB's symbol of a comment
_LABEL = re.compile(r"[A-Za-z0-9_(){}\[\]+/|~^!?.\-]{1,12}")
_REPEATED = 5


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How the symbol of an annotation is determined.

    **Guarantees**: The text of a note is shown only if it has no spaces, at most 12 characters and
    occurs five times in a record, as labels do: a note is free text, which may name a person
    (`tests/unit/data/test_labels.py`).

    Attributes:
      symbols_from: `symbol`: the annotation's symbol; `aux_note`: its note; `aux_note_or_symbol`:
        its note if that is a symbol of WFDB or mapped to one, else its symbol.
      symbols: Symbol or note -> symbol of WFDB; others stay as they are.

    Example:
      >>> labels = Labels(symbols={"PVC": "V"})
      >>> labels.of(np.array(["N", "PVC"]), np.array(["", ""]), Counter()).tolist()
      ['N', 'V']
    """

    symbols_from: SymbolsFrom = "symbol"
    symbols: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, symbols: np.ndarray, aux_notes: np.ndarray, notes: Counter[str]) -> np.ndarray:
        """Return the symbols of annotations, and count those that are unknown.

        Args:
          symbols: (num_annotations,) str, as in the file.
          aux_notes: (num_annotations,) str, their notes.
          notes: Unknown symbols are counted here.

        Returns:
          (num_annotations,) str. An unknown symbol stays as it is, and an unknown note becomes
          WFDB's symbol of a comment: both are no beats.
        """
        from_notes = self.symbols_from == "aux_note"
        texts = [text.strip() for text in (aux_notes if from_notes else symbols).tolist()]
        if self.symbols_from == "aux_note_or_symbol":
            stated = [text.strip() for text in aux_notes.tolist()]
            texts = [
                note if self.symbols.get(note, note) in _KNOWN else text
                for note, text in zip(stated, texts, strict=True)
            ]
        mapped = [self.symbols.get(text, text) for text in texts]
        unknown = Counter(text for text in mapped if text not in _KNOWN)
        if not from_notes:
            for text, count in unknown.items():
                notes[_unknown(text)] += count
            return np.asarray(mapped, np.str_)
        for text, count in unknown.items():
            is_label = count >= _REPEATED and _LABEL.fullmatch(text)
            notes[_unknown(text) if is_label else OTHER_NOTE if text else WITHOUT_NOTE] += count
        return np.asarray([text if text in _KNOWN else _NO_BEAT for text in mapped], np.str_)


def _unknown(text: str) -> str:
    return f"annotation with the unknown symbol {text}, no beat unless dataset.symbols maps it"


def unknown_targets(symbols: Mapping[str, str]) -> Sequence[str]:
    """Return the values of a mapping that are no symbols of WFDB."""
    return [symbol for symbol in symbols.values() if symbol not in _KNOWN]
