"""Checks of features whose code is not this package's: those of plug-ins."""

import numpy as np

from ecgexp.data.beats import RR_FEATURES
from ecgexp.features.inputs import TEMPLATE, Features
from ecgexp.features.record_beats import needs_record, num_record_values, transform_rows
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.plugins import is_foreign


def crossing_beats(features: Features) -> tuple[str, ...]:
    """Return the features that depend on other beats, also if the class does not list them.

    Args:
      features: of this package or of a plug-in.
    """
    used = [
        *(["rr"] if features.uses_rr else []),
        *([TEMPLATE] if features.uses_template else []),
    ]
    return features.features_crossing_beats or tuple(used)


def check_rows_apart(features: Features, *, window: int, leads: int) -> None:
    """Reject features of a plug-in in which one beat changes the features of another.

    The guarantee would not cover them, and prediction, which transforms other batches, would not
    repeat them. The test transforms random beats and changes one of them.

    Args:
      features: of this package, which are known, or of a plug-in.
      window: samples of a window.
      leads: leads of a window.

    Raises:
      ConfigError: a feature of another beat changed, has another number of rows or another name.
    """
    if not is_foreign(features):
        return
    rng, rows, changed = np.random.default_rng(0), 6, 2
    signals, templates = rng.standard_normal((2, rows, window, leads)).astype(np.float32)
    rr = rng.uniform(0.5, 1.2, (rows, len(RR_FEATURES))).astype(np.float32)
    values = rng.standard_normal((rows, num_record_values(features))).astype(np.float32)
    others = np.arange(rows) != changed

    def transformed() -> dict[str, np.ndarray]:
        return transform_rows(
            features,
            signals.copy(),
            rr.copy() if features.uses_rr else None,
            templates.copy() if features.uses_template else None,
            values.copy() if needs_record(features) else None,
        )

    before = transformed()
    for array in (signals, rr, templates, values):
        array[changed] = 50 * (1 - array[changed])
    after = transformed()
    name = type(features).__name__
    if set(before) != features.names():
        raise ConfigError(
            f"features={name}: transform returns {sorted(before)}, and names() says "
            f"{sorted(features.names())}; return arrays of these names."
        )
    for key, array in before.items():
        if len(array) != rows:
            raise ConfigError(
                f"features={name}: transform returns {len(array)} rows of {key} for {rows} beats; "
                "return one row for each beat."
            )
        if not np.array_equal(array[others], after[key][others], equal_nan=True):
            raise ConfigError(
                f"features={name}: one beat changes {key} of another, so that no guarantee covers "
                "it and prediction cannot repeat it; compute each row from its own beat."
            )
