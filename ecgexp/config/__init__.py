"""Hydra composition of the YAML groups into an `Experiment`.

`compose` loads and builds a configuration, `location` finds the groups, `untrusted_overrides`
refuses values through which Hydra would run code, and `sweep_settings` declares what a multirun
adds. Hydra is imported here, in `sweeps` and in `cli` only.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.config.compose import build_experiment as build_experiment
    from ecgexp.config.compose import load_config as load_config
    from ecgexp.config.compose import load_experiment as load_experiment
    from ecgexp.config.sweep_settings import SweepSettings as SweepSettings
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
