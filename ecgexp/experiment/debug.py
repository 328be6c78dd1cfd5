"""The presets `debug=smoke|overfit|profile`: short runs that try a configuration."""

from collections.abc import Mapping, Sequence
from typing import Literal

from ecgexp.data.beats import BeatSet
from ecgexp.data.few_beats import few_beats, few_of_split
from ecgexp.data.splits.base import Split
from ecgexp.settings.declaration import ConfigError, Count, NonNegativeInt, settings
from ecgexp.tracking.debug_mark import DEBUG, meaningless

_PARTS = 3  # of the beats that are chosen before a split: training, validation, test


@settings
class Debug:
    """A run that tries a configuration on few beats; its scores mean nothing.

    `conf/debug` and `conf/debug_trainer` change the other parts of such a run.

    Attributes:
      preset: `smoke`: each part of a run once; `overfit`: training ends when the model fits its
        training beats, and the run says whether it does; `profile`: the training steps are
        profiled; `none`: an ordinary run.
      train_beats: training beats, about; of a unit of privacy, at least one.
      validation_beats: validation beats, at most.
      batch_units: units of privacy in a batch; where the unit is the beat, at least twice as many
        training beats remain.

    Example:
      >>> Debug(preset="smoke").tags()
      {'debug': 'smoke'}
    """

    preset: Literal["none", "smoke", "overfit", "profile"] = "none"
    train_beats: Count = 512
    validation_beats: Count = 256
    batch_units: NonNegativeInt = 0

    @property
    def is_on(self) -> bool:
        """Whether the run only tries a configuration."""
        return self.preset != "none"

    def check(self, evaluate_on: Sequence[str]) -> None:
        """Check that a debug run scores no test beats.

        Args:
          evaluate_on: the splits that the run evaluates.

        Raises:
          ConfigError: it would.
        """
        if self.is_on and "test" in evaluate_on:
            raise ConfigError(
                f"evaluate_on=[{','.join(evaluate_on)}]: debug={self.preset} scores no test beats, "
                "since each evaluation of a test set is counted; use evaluate_on=[validation], or "
                f"leave debug={self.preset} out."
            )

    def few_of(self, beats: BeatSet, split: Split, *, unit: str | None, seed: int) -> Split:
        """Return the part of a split that the run uses; all of it in an ordinary run.

        Args:
          beats: the beats, with labels.
          split: indices into them.
          unit: unit of privacy; None without privacy.
          seed: of the run.
        """
        if not self.is_on:
            return split
        at_least = 2 * self.batch_units if unit == "beat" else 0
        return few_of_split(
            beats,
            split,
            train=max(self.train_beats, at_least),
            validation=self.validation_beats,
            unit=unit,
            seed=seed,
        )

    def few_before_split(self, beats: BeatSet, *, seed: int) -> BeatSet:
        """Return the beats that the run splits; all of them in an ordinary run.

        Args:
          beats: the beats, with labels.
          seed: of the run.
        """
        number = _PARTS * max(self.train_beats, 2 * self.batch_units)
        return few_beats(beats, number, seed=seed) if self.is_on else beats

    def tags(self) -> Mapping[str, str]:
        """Return the mark of a debug run, for the tags of the run and for `result.json`."""
        return {DEBUG: self.preset} if self.is_on else {}

    def words(self) -> Sequence[str]:
        """Return the words with which the name of a debug run begins."""
        return (f"debug={self.preset}",) if self.is_on else ()

    def notices(self, *, spends: bool) -> Sequence[str]:
        """Return the lines that begin a debug run.

        Args:
          spends: whether the run has a privacy loss.
        """
        if not self.is_on:
            return ()
        lines = [f"{meaningless(self.preset)}; few training beats, no test beats"]
        if spends:
            lines.append(
                f"debug={self.preset} reads the training beats, so its privacy loss is recorded "
                "and counts; dataset=synthetic tries the same settings on virtual patients"
            )
        return lines
