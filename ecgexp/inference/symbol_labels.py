"""What states the symbol of an annotated beat: as in the training of the model."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ecgexp.data.formats.labels import Labels
from ecgexp.data.formats.record import SymbolsFrom

_PARTS = ("dataset.", "dataset.train.", "dataset.test.")
_FROM, _SYMBOLS = "symbols_from", "symbols"


def names_in(params: Iterable[str]) -> list[str]:
    """Return the names of parameters of a run that are used, beside `dataset.parts`."""
    return [
        name
        for name in params
        for part in _PARTS
        if name == f"{part}{_FROM}" or name.startswith(f"{part}{_SYMBOLS}.")
    ]


def trained_labels(params: Mapping[str, Any]) -> Labels:
    """Return how symbols were determined in training.

    Args:
      params: Parameters of the run, by their dotted names: `names_in` and `dataset.parts`. Of
        several parts those settings are used that all parts that have them have in common.

    Returns:
      The labels; those of WFDB for a run on published databases.

    Example:
      >>> trained_labels({"dataset.symbols.PVC": "V"}).symbols
      {'PVC': 'V'}
    """
    stated = [
        {
            _FROM: params.get(f"{part}{_FROM}"),
            _SYMBOLS: {
                name.removeprefix(f"{part}{_SYMBOLS}."): symbol
                for name, symbol in params.items()
                if name.startswith(f"{part}{_SYMBOLS}.")
            },
        }
        for part in _PARTS
        if any(name.startswith((f"{part}{_FROM}", f"{part}{_SYMBOLS}.")) for name in params)
    ]
    for part in params.get("dataset.parts") or ():
        if isinstance(part, dict) and (part.get(_FROM) or part.get(_SYMBOLS)):
            stated.append({_FROM: part.get(_FROM), _SYMBOLS: part.get(_SYMBOLS) or {}})
    if not stated or any(each != stated[0] for each in stated):
        return Labels()
    symbols_from = stated[0][_FROM]
    return Labels(
        symbols_from=symbols_from if symbols_from in get_args(SymbolsFrom) else "symbol",
        symbols={str(name): str(symbol) for name, symbol in stated[0][_SYMBOLS].items()},
    )
