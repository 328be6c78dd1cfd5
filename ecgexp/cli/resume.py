"""`ecgexp resume=RUN`: composes the configuration of an unfinished run again, from its folder."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ecgexp.config.compose import for_the_record, load_config
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.installation import to_type
from ecgexp.settings.plugins import install_command, installed
from ecgexp.settings.registry import is_former_name
from ecgexp.storage.json_text import quoted
from ecgexp.storage.reading import read_text, refusal
from ecgexp.tracking.local.artifact_files import plain
from ecgexp.tracking.local.checkpoint_folder import kept_steps
from ecgexp.tracking.local.run_json import read_run
from ecgexp.tracking.params import has_effect, loggable, parameters
from ecgexp.tracking.provenance import git_state, has_ended, plugin_tags, versions

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MAX_BYTES = 1 << 20  # of a file of overrides
_FIX = "restore the file from a copy, or start the run again from the beginning"
_log = logging.getLogger(__name__)


def stored_config(
    run_dir: Path, overrides: Sequence[str], *, own: Path | None = None
) -> "DictConfig":
    """Composes the configuration of a run again, from its own overrides and those of this command.

    Args:
      run_dir: folder of the run.
      overrides: overrides of this command.
      own: folder that `--config-dir` names in this command; None: that of the run, if it had one.

    Returns:
      The composed configuration, equal to that of the run in every setting that affects a result.

    Raises:
      ConfigError: a setting that affects a result differs from that of the run, or a plug-in or the
        folder of its `--config-dir` is missing.
      DataError: the overrides of the run cannot be read.
    """
    _check_plugins(run_dir)
    stored = _read_overrides(run_dir)
    own = own or _own_folder(run_dir)
    if own is not None and not own.is_dir():
        raise ConfigError(
            f"resume={run_dir}: the run was started with --config-dir {own}, and there is no such "
            f"folder; use {to_type(f'ecgexp --config-dir FOLDER resume={run_dir}')}, with its "
            "place now."
        )
    config = load_config([*_experiment_only(stored), *_experiment_only(overrides)], own=own)
    values = for_the_record(config)
    _check_same(run_dir, values)
    _warn_of_other_code(run_dir, values)
    return config


def how_killed(run_dir: Path, step_name: str, num_steps: int) -> str | None:
    """Returns what was running when a process was killed that could not report it.

    It follows from the folder alone: its status, its checkpoints and when its files were written.

    Args:
      run_dir: folder of the run, before it is resumed.
      step_name: `epoch` or `round`.
      num_steps: epochs or rounds of the run.

    Returns:
      A line; None if the run reported how it ended.
    """
    import psutil

    values = _run_json(run_dir)
    if values["status"] != "RUNNING":
        return None
    tags, steps = values["tags"], kept_steps(run_dir)
    written = max((path.stat().st_mtime for path in _files(run_dir)), default=0.0)
    if not has_ended(tags):
        why = f"on {tags.get('process.host', 'another machine')}, which reported no end"
    elif psutil.boot_time() > written:
        why = f"the machine was started again at {_clock(psutil.boot_time())}"
    else:
        why = "no signal was seen: the kernel's out-of-memory killer, or kill -9"
    if steps is None:
        where, kept = f"before {step_name} 1 of {num_steps}", "nothing is kept"
    else:
        where = f"in {step_name} {min(steps + 1, num_steps)} of {num_steps}"
        kept = f"{steps} {step_name}{'' if steps == 1 else 's'} kept"
        kept = kept if steps else f"a part of {step_name} 1 is kept"
    return f"this run was killed {where}, and last wrote at {_clock(written)} ({why}); {kept}"


def _files(run_dir: Path) -> Iterator[Path]:
    """Yields the files that a run writes while it trains; others this process may have written."""
    for pattern in ("metrics.jsonl", "run.json", "privacy_journal.jsonl", "checkpoints/*"):
        yield from run_dir.glob(pattern)


def _clock(seconds: float) -> str:
    """Returns the local time, with the date if that is not today's."""
    at = datetime.fromtimestamp(seconds)  # noqa: DTZ006 - as the clock of the user shows it
    is_today = at.date() == datetime.now().date()  # noqa: DTZ005
    return f"{at:%H:%M}" if is_today else f"{at:%Y-%m-%d %H:%M}"


def working_folder(run_dir: Path) -> Path:
    """Returns the working folder of the command that started a run.

    Relative paths of the run's settings are relative to it, wherever the run is resumed. If the
    folder is not recorded or does not exist on this machine, the current one is used.

    Raises:
      DataError: the file that records it is damaged.
    """
    path = run_dir / ".hydra" / "hydra.yaml"
    if not path.exists():  # the run was started from Python
        return Path.cwd()
    try:
        folder = _read_yaml(path)["hydra"]["runtime"]["cwd"]
        return Path(folder) if Path(folder).is_dir() else Path.cwd()
    except (LookupError, TypeError, ValueError) as error:
        raise refusal(
            path, "is damaged: it has no working folder of the command", fix=_FIX
        ) from error


def _check_plugins(run_dir: Path) -> None:
    tags: Mapping[str, str] = _run_json(run_dir)["tags"]
    for tag, code in sorted(tags.items()):
        kind, _, name = tag.partition(".")
        if kind == "plugin" and name not in installed():
            raise ConfigError(
                f"resume={run_dir}: the run needs the plug-in {name}, which is not installed; use "
                f"{install_command(code)}."
            )


def _own_folder(run_dir: Path) -> Path | None:
    """Return the folder that `--config-dir` named when the run was started; None without one."""
    path = run_dir / ".hydra" / "hydra.yaml"
    if not path.exists():
        return None
    try:
        sources = _read_yaml(path)["hydra"]["runtime"]["config_sources"]
        found = [one["path"] for one in sources if one["provider"] == "command-line"]
        return Path(str(found[0])) if found else None
    except (LookupError, TypeError) as error:
        raise refusal(path, "is damaged: it has no sources of the YAML files", fix=_FIX) from error


def _read_overrides(run_dir: Path) -> list[str]:
    """Reads the overrides that the run was started with.

    Raises:
      DataError: the file is missing or damaged.
    """
    path = run_dir / ".hydra" / "overrides.yaml"
    overrides = _read_yaml(path)
    if not isinstance(overrides, list) or not all(
        isinstance(text, str) and text.isprintable() for text in overrides
    ):
        raise refusal(path, "is damaged: it is not a list of overrides", fix=_FIX)
    return overrides


def _read_yaml(path: Path) -> Any:
    text = read_text(path, fix=_FIX, most=_MAX_BYTES)
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
        raise refusal(path, "is damaged: it is not YAML", fix=_FIX) from error


def _experiment_only(overrides: Sequence[str]) -> list[str]:
    """Removes `resume` and the overrides of Hydra itself, which a stored file must not set."""
    return [
        text
        for text in overrides
        if not text.lstrip("+~").startswith(("hydra.", "hydra/", "resume="))
    ]


def _check_same(run_dir: Path, values: Mapping[str, Any]) -> None:
    then, now = _run_json(run_dir)["params"], plain(loggable(parameters(values)))
    if earlier := [
        f"{quoted(name)[1:-1]}={quoted(value)[1:-1]}"
        for name, value in sorted(then.items())
        if name.endswith("_target_") and is_former_name(value)
    ]:
        raise ConfigError(
            f"resume={run_dir}: the run began with an earlier version of ecgexp ({earlier[0]}); "
            "use that version to resume it, or start a new run."
        )
    differ = [
        f"{quoted(name)[1:-1]} is {quoted(now.get(name))} and was {quoted(then.get(name))}"
        for name in sorted({*then, *now})
        if has_effect(name) and then.get(name) != now.get(name)
    ]
    if differ and then:
        raise ConfigError(
            f"resume={run_dir}: {'; '.join(differ[:5])}; a run resumes with its own configuration: "
            "leave these overrides out, or start a new run"
        )


def _warn_of_other_code(run_dir: Path, values: Mapping[str, Any]) -> None:
    """Warns if code, versions or plug-ins differ: the run can resume, but not bit for bit."""
    tags = _run_json(run_dir)["tags"]
    commit, _ = git_state(Path(__file__).parent)
    now = {
        "git.commit": commit,
        **{f"version.{name}": version for name, version in versions().items()},
        **plugin_tags(values),
    }
    differ = [
        f"{name} {value} (was {tags[name]})"
        for name, value in now.items()
        if tags.get(name, value) != value
    ]
    if differ:
        _log.warning(
            "the run began with other code, so its result will not be equal bit for bit to that of "
            "an uninterrupted run: %s",
            ", ".join(differ),
        )


def _run_json(run_dir: Path) -> dict[str, Any]:
    try:
        return read_run(run_dir)
    except DataError as error:
        raise DataError(f"resume={run_dir}: {error}") from error
