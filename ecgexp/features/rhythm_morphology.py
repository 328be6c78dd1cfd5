"""39 numbers for each beat, from all beats of its record: rhythm, and QRS against sinus beats.

They were chosen on DS1 of MIT-BIH, leaving out one patient at a time, to find supraventricular
ectopic beats, also where most beats are premature. They say the same against several references,
which suits an ensemble of randomized trees better than a network.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ecgexp.features.handcrafted import RHYTHM, SHAPE, rhythm_features, rr_unit, shape_features
from ecgexp.features.inputs import TEMPLATE
from ecgexp.features.qrs_groups import align_and_group
from ecgexp.features.qrs_width import QRS_TO_SINUS, qrs_to_sinus
from ecgexp.features.record_beats import RecordBeats
from ecgexp.features.rhythm import RHYTHM_CONTEXT, rhythm_context
from ecgexp.settings.declaration import Milliseconds, Number, settings
from ecgexp.settings.installation import to_type

RHYTHM_MORPHOLOGY = (*RHYTHM, *RHYTHM_CONTEXT, *SHAPE, *QRS_TO_SINUS)
"""The columns of `rhythm_morphology`."""

_SHAPE_MS = (300.0, 400.0)  # compared with the template
_FLAT_MV = 0.005  # the resolution of mitdb


@settings
class RhythmMorphologyFeatures:
    """39 numbers for each beat, `RHYTHM_MORPHOLOGY`, for any leads.

    The three rhythm and four shape numbers of `handcrafted`; 28 numbers of the rhythm around the
    beat (`features.rhythm.rhythm_context`); and four that compare its QRS complex with the sinus
    beats around it (`features.qrs_width.qrs_to_sinus`). Rules for records that are not complete:

    - Neighbors beyond the ends of a record count as on time.
    - Intervals are limited to 0.15 to 4 s, so that a gap is no pause of minutes.
    - With few sinus intervals or beats, all intervals, or all beats of the most frequent group,
      take their place. The only beat of a record has no interval and is dropped.
    - A lead whose template is flat (standard deviation below 5 µV) is left out, unless all are.
    - With one lead, the largest and the smallest distance are equal.

    **Guarantees**: all numbers are finite, depend on the beat's own record alone, and are the same
    in training and prediction (`tests/unit/features/test_rhythm_morphology.py`). They depend on
    other beats of the record, so that privacy.unit=beat refuses them.

    Attributes:
      fs_hz: Sampling frequency of the windows, in Hz; at least 100.
      window_ms: Milliseconds before and after R, as `dataset.window_ms`; at least 300 before and
        400 after, and [360,560] in the published experiments.

    Raises:
      ValueError: The window is shorter.

    Example:
      >>> features = RhythmMorphologyFeatures(fs_hz=180, window_ms=(360, 560))
      >>> sorted(features.names()), len(RHYTHM_MORPHOLOGY)
      (['rhythm_morphology'], 39)
    """

    fs_hz: Annotated[Number, Field(ge=100, le=10_000)]
    window_ms: tuple[Milliseconds, Milliseconds]

    uses_rr = uses_template = True
    num_values: ClassVar[int] = len(RHYTHM_MORPHOLOGY)
    features_crossing_beats = ("rhythm_morphology", TEMPLATE)

    def __post_init__(self):
        if any(part < least for part, least in zip(self.window_ms, _SHAPE_MS, strict=True)):
            raise ValueError(
                f"dataset.window_ms={list(self.window_ms)} is too short for "
                "features=rhythm_morphology; use at least 300 ms before and 400 ms after R, e.g. "
                "dataset.window_ms=[360,560]"
            )

    def names(self) -> frozenset[str]:
        """See `Features`."""
        return frozenset({"rhythm_morphology"})

    def transform(
        self,
        signals_mv: np.ndarray,
        rr: np.ndarray | None,
        templates_mv: np.ndarray | None = None,
        record_values: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """See `RecordFeatures`; `rhythm_morphology` is (num_beats, 39) float32.

        Raises:
          ValueError: `record_values` is missing or has another shape.
        """
        shape = (len(signals_mv), len(RHYTHM_MORPHOLOGY))
        if record_values is None or record_values.shape != shape:
            raise ValueError(
                f"this model takes {shape[1]} numbers for each beat that are computed from all "
                f"beats of its record: annotate whole records ({to_type('ecgexp-predict')}), or "
                "pass record_values=(num_beats, 39) of features.of_record"
            )
        return {"rhythm_morphology": np.asarray(record_values, np.float32)}

    def of_record(self, beats: RecordBeats) -> np.ndarray:
        """See `RecordFeatures`; (num_rows, 39) float32, the columns of `RHYTHM_MORPHOLOGY`.

        Raises:
          ValueError: the windows are not those of `window_ms`.
        """
        before, after = (round(part * self.fs_hz / 1000) for part in self.window_ms)
        if beats.signals_mv.shape[1] != before + after:
            raise ValueError(
                f"features.window_ms={list(self.window_ms)} at features.fs_hz={self.fs_hz:g} are "
                f"{before + after} samples, but the windows have {beats.signals_mv.shape[1]}; do "
                "not override them, they follow the dataset"
            )
        if not len(beats.rows):
            return np.zeros((0, len(RHYTHM_MORPHOLOGY)), np.float32)
        leads = _usable_leads(beats.template_mv)
        signals_mv, template_mv = beats.signals_mv[..., leads], beats.template_mv[:, leads]
        near, far = (round(part * self.fs_hz / 1000) for part in _SHAPE_MS)
        compared = slice(before - near, before + far)
        aligned = align_and_group(signals_mv.astype(np.float64), before, self.fs_hz)
        parts = [
            rhythm_features(beats.rr),
            rhythm_context(beats.seconds, unit_of_all(beats.seconds))[beats.rows],
            shape_features(
                signals_mv[:, compared], template_mv[None, compared], fs_hz=self.fs_hz, before=near
            ),
            qrs_to_sinus(aligned, beats.seconds, beats.rows),
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)


def unit_of_all(seconds: np.ndarray) -> np.ndarray:
    """Return the unit of `rr_unit` of all beats of a record.

    Args:
      seconds: (num_beats,) ascending, at least two.

    Returns:
      (num_beats,) float64.
    """
    from ecgexp.data.preprocessing.windows import rr_irregularity

    return rr_unit(rr_irregularity(np.diff(seconds)))


def _usable_leads(template_mv: np.ndarray) -> np.ndarray:
    """Return (leads,) bool: the leads that are not flat; all if every one is."""
    usable = template_mv.std(axis=0) >= _FLAT_MV
    return usable if usable.any() else np.ones_like(usable)
