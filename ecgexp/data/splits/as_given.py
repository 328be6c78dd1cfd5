"""The split that the data themselves allow: by their files, by patient, or beat by beat."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ecgexp.data.beats import TESTED, TRAINED, BeatSet
from ecgexp.data.holdout import hold_out_beats, hold_out_patients
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import Fraction, settings


@settings
class AsGiven:
    """The best split that the data allow; the default of `dataset=arrays`.

    A test file is the test set as its owners divided it. Everything else is drawn: by patient if
    patients are known, otherwise beat by beat. If patients of the test file are in the training
    file too, the split is one by beat, whatever is drawn, and says so.

    Attributes:
      test_fraction: Share of the patients or beats used for testing, if there is no test file.
      validation_fraction: Share of the other patients or beats used for validation; 0 for none.

    Example:
      >>> AsGiven(test_fraction=0.3).needs_patients
      False
    """

    test_fraction: Annotated[Fraction, Field(gt=0)] = 0.2
    validation_fraction: Fraction = 0.2

    divides_patients: ClassVar[bool] = False
    needs_patients: ClassVar[bool] = False

    def split(self, beats: BeatSet, rng: np.random.Generator) -> Split:
        """Split the beats.

        Args:
          beats: Labeled beats.
          rng: Draws what is drawn.

        Returns:
          A split that is disjoint by patient if patients are known and nobody is in both files,
          else by beat.

        Raises:
          DataError: There are too few patients, or beats of a class.
        """
        if beats.is_of_two:
            training, test = (np.flatnonzero(beats.parts == part) for part in (TRAINED, TESTED))
        else:
            training, test = _hold_out(beats, np.arange(len(beats)), self.test_fraction, rng)
        shared = np.intersect1d(beats.patient_ids[training], beats.patient_ids[test])
        by_patient = beats.knows_patients and not len(shared)
        train, validation = _hold_out(beats, training, self.validation_fraction, rng)
        return Split(
            train=train,
            validation=validation,
            test=test,
            disjoint="patient" if by_patient else "beat",
            notes=_notes(beats, len(shared), by_patient=by_patient),
        )


def _hold_out(
    beats: BeatSet, rows: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if beats.knows_patients:
        return hold_out_patients(beats, rows, fraction, rng)
    return hold_out_beats(beats.labels, rows, fraction, rng)


def _notes(beats: BeatSet, num_shared: int, *, by_patient: bool) -> tuple[str, ...]:
    if by_patient:
        return ()
    if not beats.is_of_two:
        return ("Drawn beat by beat, because nothing states whose the beats are.",)
    if beats.knows_patients:
        return (f"{num_shared} patients have beats in the training file and in the test file.",)
    return (
        "Training and test file as their owners divided them; they may have beats of the same "
        "patients.",
    )
