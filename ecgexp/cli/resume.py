"""`ecgexp resume=RUN`: makes the experiment of a run that did not finish again, from what its folder says."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ecgexp.config.compose import for_the_record, load_config
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.reading import quoted, read_text, refusal
from ecgexp.tracking.local.artifact_files import plain
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.params import has_effect, loggable, parameters
from ecgexp.tracking.provenance import git_state, versions

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MOST_TYPED = 1 << 20  # bytes of what was typed
_FIX = "restore the file from a copy, or start the run anew"
_log = logging.getLogger(__name__)


def stored_config(run_dir: Path, overrides: Sequence[str]) -> "DictConfig":
    """The configuration of the run in `run_dir`, composed anew from what was typed for it, and what is typed now.

    Raises:
      ConfigError: the two do not make the configuration that the run has; names the settings that differ.
      DataError: the folder does not say what was typed.
    """
    typed = _read_overrides(run_dir)
    config = load_config([*_ours(typed), *_ours(overrides)])
    _check_same(run_dir, for_the_record(config))
    _warn_of_other_code(run_dir)
    return config


def typed_in(run_dir: Path) -> Path:
    """The folder that the command of a run was typed in, from which its relative paths count, wherever it is resumed.

    Raises:
      DataError: the file that says so is damaged.
    """
    path = run_dir / ".hydra" / "hydra.yaml"
    if not path.exists():  # the run was not typed
        return Path.cwd()
    try:
        folder = _read_yaml(path)["hydra"]["runtime"]["cwd"]
        return Path(folder) if Path(folder).is_dir() else Path.cwd()
    except (LookupError, TypeError, ValueError) as error:
        raise refusal(
            path, "is damaged: it does not say where the command was typed", fix=_FIX
        ) from error


def _read_overrides(run_dir: Path) -> list[str]:
    """What was typed for the run.

    Raises:
      DataError: the file is missing or damaged.
    """
    path = run_dir / ".hydra" / "overrides.yaml"
    typed = _read_yaml(path)
    if not isinstance(typed, list) or not all(
        isinstance(text, str) and text.isprintable() for text in typed
    ):
        raise refusal(path, "is damaged: it is not a list of overrides", fix=_FIX)
    return typed


def _read_yaml(path: Path) -> Any:
    text = read_text(path, fix=_FIX, most=_MOST_TYPED)
    try:
        return yaml.safe_load(text)
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise refusal(path, "is damaged: it is no YAML", fix=_FIX) from error


def _ours(overrides: Sequence[str]) -> list[str]:
    """The overrides but those for Hydra itself, which a folder must not decide, and `resume`."""
    return [
        text
        for text in overrides
        if not text.lstrip("+~").startswith(("hydra.", "hydra/", "resume="))
    ]


def _check_same(run_dir: Path, values: Mapping[str, Any]) -> None:
    then, now = _run_json(run_dir)["params"], plain(loggable(parameters(values)))
    differ = [
        f"{quoted(name)[1:-1]} is {quoted(now.get(name))} and was {quoted(then.get(name))}"
        for name in sorted({*then, *now})
        if has_effect(name) and then.get(name) != now.get(name)
    ]
    if differ and then:
        raise ConfigError(
            f"resume={run_dir}: {'; '.join(differ[:5])}; a run goes on with its own configuration: leave these out, or start anew"
        )


def _warn_of_other_code(run_dir: Path) -> None:
    """Other code or versions may train on all the same, but not to the same bits."""
    tags = _run_json(run_dir)["tags"]
    commit, _ = git_state(Path(__file__).parent)
    now = {
        "git.commit": commit,
        **{f"version.{name}": version for name, version in versions().items()},
    }
    differ = [
        f"{name} {value} (was {tags[name]})"
        for name, value in now.items()
        if tags.get(name, value) != value
    ]
    if differ:
        _log.warning(
            "the run began with other code, so it will not end with the bits it would have had: %s",
            ", ".join(differ),
        )


def _run_json(run_dir: Path) -> dict[str, Any]:
    try:
        return read_run(run_dir)
    except DataError as error:
        raise DataError(f"resume={run_dir}: {error}") from error
