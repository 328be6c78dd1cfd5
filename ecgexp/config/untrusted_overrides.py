"""Protection against configuration files from others through which Hydra would run code.

Hydra creates callbacks, launchers, sweepers and loggers from the node `hydra` of the configuration.
To do so it calls any importable object that is not on its block-list, which its authors do not
consider a complete boundary. An experiment file from another person could therefore start programs
and write anywhere, although `settings.build` rejects `_target_`s outside the package. A list of
harmful values would never be complete, so the origin decides: files of this project, of Hydra and
of its plugins may set the node `hydra`, and so may overrides in the user's shell. No other file
may.

**Guarantees**: the checks run before Hydra creates any object
(`tests/faults/test_hostile_yaml.py`).
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, cast

from hydra._internal import hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf, read_write

from ecgexp.settings import plugins
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir
from ecgexp.settings.paths import check_inside
from ecgexp.settings.redaction import HIDDEN, is_secret_name, redacted
from ecgexp.tracking.credentials import hide, without_credentials

OURS = frozenset(
    {
        "config",
        "hydra/hydra_logging/plain",
        "hydra/job_logging/plain",
        "hydra/launcher/processes",
        "hydra/launcher/ray_jobs",
        "hydra/launcher/slurm",
        "hydra/launcher/slurm_here",
        "hydra/sweeper/pareto",
        "hydra/sweeper/search",
    }
)
"""Files of `conf` that have a node `hydra`."""

NOT_AN_OPTION = "Config group override must be a string or a list"
"""Hydra's message for `model=null`."""

_OUR_SOURCE = f"file://{config_dir()}"
_SOURCES_IN_PACKAGES = ("structured://", "pkg://hydra.conf", "pkg://hydra_plugins.")
_LOCAL_LAUNCHERS = ("BasicLauncher", "JoblibLauncher")
_LAUNCHER = ("hydra/launcher", "hydra.launcher")
_LONGEST_NAME = 200


class GuardedLoader(ConfigLoaderImpl):
    """The loader that composes every configuration of a run and checks it.

    It is pickled to the jobs of a sweep, so it also checks in other processes.
    """

    _typed: frozenset[str] = frozenset()

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        """Compose a configuration, as Hydra's loader does, and check it.

        Args:
          config_name: name of the primary configuration file.
          overrides: overrides as typed; credentials in addresses are remembered and removed.
          *args: see Hydra.
          **kwargs: see Hydra.

        Returns:
          The configuration, with secrets from files removed.

        Raises:
          ConfigError: a file sets what only the user's shell may set, or a name of a file or folder
            is invalid.
        """
        overrides = without_credentials(overrides)
        self._typed = _options(overrides)
        with not_an_option():
            config = super().load_configuration(config_name, overrides, *args, **kwargs)
        _hide_secrets(config)
        _check_name(config)
        _check_notes(config)
        _check_places(config)
        is_local = str(OmegaConf.select(config, "hydra.launcher._target_")).endswith(
            _LOCAL_LAUNCHERS
        )
        if not is_local and not any(text.lstrip("+").startswith(_LAUNCHER) for text in overrides):
            raise ConfigError(
                "hydra/launcher is refused: a file selects a launcher that starts jobs elsewhere; "
                "use hydra/launcher=… in the shell."
            )
        return config

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: Any, repo: Any
    ) -> None:
        """Check the primary file first, because Hydra imports the packages of its search path."""
        if config_name is not None:
            primary = repo.load_config(config_path=config_name)
            if primary is not None:
                self._check(config_name, primary)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        """Load one file and check it, as placed in its package."""
        loaded = super()._load_single_config(default=default, repo=repo)
        self._check(str(default.config_path), loaded)
        _check_one_plugin(str(default.config_path), str(loaded.path))
        return loaded

    def _check(self, config_path: str, loaded: ConfigResult) -> None:
        # `"hydra" in config` is False for a node that is an interpolation.
        if not isinstance(loaded.config, DictConfig) or "hydra" not in loaded.config.keys():  # noqa: SIM118
            return
        source = str(loaded.path)
        if (
            source.startswith(_SOURCES_IN_PACKAGES)
            or (source == _OUR_SOURCE and config_path in OURS)
            or config_path in self._typed
        ):
            return
        raise ConfigError(
            f"{config_path}.yaml in {source} is refused: its node hydra can run code and choose "
            "where files are written; remove the node, and use hydra.…=… in the shell."
        )


def _check_one_plugin(config_path: str, source: str) -> None:
    """Check that an option of a plug-in is that of one plug-in only."""
    having = [
        one
        for one in plugins.installed().values()
        if one.conf is not None and (one.conf / f"{config_path}.yaml").is_file()
    ]
    if len(having) > 1 and source in [f"file://{one.conf}" for one in having]:
        group, _, option = config_path.rpartition("/")
        raise ConfigError(
            f"{group}={option}: the plug-ins {' and '.join(one.label for one in having)} both have "
            "this option; uninstall one of them, or use an experiment file of your own."
        )


@contextlib.contextmanager
def not_an_option() -> Iterator[None]:
    """Raise Hydra's plain `ValueError` for an override such as `model=null` as an error of Hydra.

    Raises:
      ConfigCompositionException: an override gives a group something that is not a name.
    """
    try:
        yield
    except ValueError as error:
        if NOT_AN_OPTION not in str(error):
            raise
        raise ConfigCompositionException(str(error)) from error


def _options(overrides: Sequence[str]) -> frozenset[str]:
    """Return the typed files of Hydra's groups: `hydra/launcher=mine` -> `hydra/launcher/mine`."""
    typed = [text.lstrip("+").partition("=") for text in overrides]
    return frozenset(
        f"{group}/{option}" for group, _, option in typed if group.startswith("hydra/")
    )


def container(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    """The mapping as nested plain values."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))


def _check_name(config: DictConfig) -> None:
    """Check the experiment's name, which is the name of a folder below `outputs`."""
    name = container(OmegaConf.masked_copy(config, ["name"]), resolve=False).get("name", "")
    text = str(name)
    is_too_long = len(text.encode(errors="replace")) > _LONGEST_NAME
    if (
        ".." in PurePath(text).parts
        or "${" in text
        or not text.strip()
        or not text.isprintable()
        or is_too_long
    ):
        raise ConfigError(
            f"name={text[:_LONGEST_NAME]!r} is refused: it is not a valid name of a folder; use "
            "name=ecgexp."
        )


def _check_notes(config: DictConfig) -> None:
    """Reject a folder for Hydra's files, which Hydra would write without a check."""
    subdir = OmegaConf.select(config, "hydra.output_subdir")
    if subdir is not None:
        raise ConfigError(
            f"hydra.output_subdir={subdir}: Hydra's files are written to .hydra in the run folder; "
            "remove hydra.output_subdir."
        )


def _check_places(config: DictConfig) -> None:
    """Check that what Hydra writes stays below the folder of a run or of a sweep."""
    hydra = container(OmegaConf.masked_copy(config.hydra, ["job", "sweep"]), resolve=False)
    name, subdir = str(hydra["job"].get("name")), str(hydra["sweep"].get("subdir"))
    for setting, text in (("hydra.job.name", name), ("hydra.sweep.subdir", subdir)):
        check_inside(setting, text.replace("${", "$"))
    if "/" in name:
        raise ConfigError(
            f"hydra.job.name={name} is not a valid name of a file; use hydra.job.name=ecgexp."
        )


def _hide_secrets(config: DictConfig) -> None:
    """Remove secrets that files contain; credentials of addresses are remembered for the run."""
    with read_write(config):
        for key in config:
            if key != "hydra":
                _hide_below(config._get_node(key), str(key))


def _hide_below(node: Any, name: str) -> None:
    if node is None or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if isinstance(node, DictConfig):
        for key in node:
            _hide_below(node._get_node(key), str(key))
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            _hide_below(node._get_node(index), name)
    elif isinstance(value := node._value(), str):
        secret = is_secret_name(name) and name != "noise_seed"
        hidden = HIDDEN if secret else hide(value)
        if hidden != value:
            node._set_value(hidden)


def check_typed_once(typed: Sequence[str]) -> None:
    """Check that each setting is typed once; Hydra would silently use the last value.

    Args:
      typed: overrides as typed, including those of Hydra's settings.

    Raises:
      ConfigError: a setting is typed twice.
    """
    parser = OverridesParser.create(config_loader=None)
    first: dict[str, str] = {}
    for text, override in zip(typed, parser.parse_overrides(list(typed)), strict=True):
        key = override.get_key_element().lstrip("+")
        if override.is_delete() or key == "hydra.mode":  # Hydra adds hydra.mode itself
            continue
        if key in first:
            earlier, later = (
                redacted({key: one.partition("=")[2]})[key] for one in (first[key], text)
            )
            raise ConfigError(f"{key}={later} is set twice, first to {earlier}; use {key} once.")
        first[key] = text


def guard() -> None:
    """Make Hydra compose all configurations of this process with `GuardedLoader`."""
    hydra_internals.ConfigLoaderImpl = GuardedLoader  # pyright: ignore[reportPrivateImportUsage]  # Hydra has no other place to name a loader


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Make Hydra compose with `GuardedLoader` within the block."""
    before = hydra_internals.ConfigLoaderImpl  # pyright: ignore[reportPrivateImportUsage]  # see guard
    guard()
    try:
        yield
    finally:
        hydra_internals.ConfigLoaderImpl = before  # pyright: ignore[reportPrivateImportUsage]  # see guard
