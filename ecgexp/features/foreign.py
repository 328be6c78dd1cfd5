"""Features of plug-ins on the beats of a run: a beat must not change those of another."""

from collections.abc import Sequence

import numpy as np

from ecgexp.data.beats import BeatSet
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import needs_record, transform_beats, transform_rows
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.plugins import is_foreign

_COMPARED = 32  # beats whose features are computed again
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # sums of float32 of different order


def transform_checked(
    features: Features, beats: BeatSet, rows: np.ndarray | None = None, *, alone: bool
) -> dict[str, np.ndarray]:
    """Return the features of all beats; those of a plug-in are checked on these beats.

    **Guarantees**: with `alone`, the code of a plug-in gets one beat at a time, so that a row
    depends on its own beat and on constants of the code only, unless the code keeps state. Some
    rows are computed again, in the opposite order, where state shows; this is a test and no proof
    (`tests/unit/features/test_plugin_features.py`).

    Args:
      features: of this package, which are known, or of a plug-in.
      beats: to transform; code of a plug-in cannot change them.
      rows: indices of the beats that are transformed; the features of all others are zero. None:
        all beats.
      alone: whether features of a plug-in are computed one beat at a time.

    Returns:
      Name -> array with a row for each beat.

    Raises:
      ConfigError: rows differ when they are computed again, or are no finite numbers.
    """
    if rows is not None:
        few = transform_checked(features, beats.take(rows), alone=alone)
        return {name: _placed(array, rows, len(beats)) for name, array in few.items()}
    if not is_foreign(features):
        return transform_beats(features, beats)
    signals_mv = _read_only(beats.signals_mv)
    rr = _read_only(beats.rr) if features.uses_rr else None
    templates_mv = _read_only(beats.template_of_each()) if features.uses_template else None

    values = _read_only(beats.record_values) if needs_record(features) else None

    def of(rows: slice) -> dict[str, np.ndarray]:
        given = (None if one is None else one[rows] for one in (rr, templates_mv, values))
        return transform_rows(features, signals_mv[rows], *given)

    number, name = len(beats), type(features).__name__
    if alone:
        found = _joined([of(slice(row, row + 1)) for row in range(number)])
    else:
        found = of(slice(None))
    _check_form(found, number, name)
    for row in np.unique(np.linspace(0, number - 1, _COMPARED).astype(int))[::-1].tolist():
        again = of(slice(row, row + 1))
        for key, array in found.items():
            if not _same(array[row : row + 1], again[key], exactly=alone):
                raise ConfigError(
                    f"features={name}: {key} of a beat is another one when the beat is transformed "
                    "again by itself, so that other beats change it; compute each row from its own "
                    "beat, and keep nothing between calls."
                )
    return found


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _joined(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def _check_form(found: dict[str, np.ndarray], number: int, name: str) -> None:
    for key, array in found.items():
        if array.dtype not in (np.float32, np.uint8) or len(array) != number:
            raise ConfigError(
                f"features={name}: {key} has the type {array.dtype} and {len(array)} rows for "
                f"{number} beats; return one row of float32 (or uint8, for images) for each."
            )
        if not np.isfinite(array).all():
            raise ConfigError(
                f"features={name}: {key} has values that are NaN or infinite; return finite "
                "numbers for every beat."
            )


def _same(left: np.ndarray, right: np.ndarray, *, exactly: bool) -> bool:
    if exactly:
        return np.array_equal(left, right)
    return left.shape == right.shape and np.allclose(
        left.astype(np.float64), right.astype(np.float64), rtol=_RELATIVE, atol=_ABSOLUTE
    )


def _placed(array: np.ndarray, rows: np.ndarray, num_beats: int) -> np.ndarray:
    whole = np.zeros((num_beats, *array.shape[1:]), array.dtype)
    whole[rows] = array
    return whole
