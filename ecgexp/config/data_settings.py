"""The settings of a run that say which beats it has, without those of its model and training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from ecgexp.config.compose import load_config, plain
from ecgexp.config.explanation import one_line
from ecgexp.data.datasets.base import Dataset
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.splits.base import Splitter
from ecgexp.settings.build import build_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.paths import counted_from


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which beats a run has.

    Attributes:
      dataset: Where they come from.
      grouping: Their classes.
      split: How they are divided.
      seed: Seed of the run, which draws the parts.
    """

    dataset: Dataset
    grouping: LabelGrouping
    split: Splitter
    seed: int


def load_data_settings(
    overrides: Sequence[str], *, own: str | Path | None = None, base_dir: Path | None = None
) -> DataSettings:
    """Build the settings of the data that `ecgexp OVERRIDES…` uses.

    Whether they fit the model, the trainer and the privacy settings is not checked.

    Args:
      overrides: Hydra overrides.
      own: Your own folder of YAML files, as for `--config-dir`.
      base_dir: Folder to which relative paths refer; None: paths stay as they are.

    Returns:
      The settings.

    Raises:
      ConfigError: A key is unknown, or a value of the dataset, the grouping or the split is out of
        bounds.

    Example:
      >>> load_data_settings(["dataset.num_patients=12", "seed=3"]).dataset.num_patients
      12
    """
    config = load_config(overrides, own=own)
    try:
        values = plain(config)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    with counted_from(base_dir):
        return DataSettings(
            dataset=build_node(values["dataset"], "dataset", Dataset),
            grouping=build_node(values["grouping"], "grouping", LabelGrouping),
            split=build_node(values["split"], "split", Splitter),
            seed=values["seed"],
        )
