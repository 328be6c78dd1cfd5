"""Starts a run from overrides: `ecgexp.run`, and the part of the command that is the same."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgexp.api.process_state import quiet_and_restored
from ecgexp.settings.declaration import ConfigError, DataError, OutOfTime
from ecgexp.settings.installation import to_type

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from ecgexp.api.loading import LoadedRun
    from ecgexp.experiment.deadline import Deadline
    from ecgexp.experiment.experiment import Experiment


def run(
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    folder: str | Path | None = None,
) -> "LoadedRun":
    """Run what `ecgexp OVERRIDES…` runs, with a progress bar in a notebook.

    **Guarantees**: a private run is recorded in the owner's list of privacy losses as one of the
    command is, and the process is left as it was (`tests/end_to_end/test_python_run.py`).

    Args:
      overrides: settings as typed after `ecgexp`, e.g. `["model=resnet1d", "seed=1"]`.
      config_dir: your own folder of YAML files, as for `ecgexp --config-dir`.
      folder: of the run, new or empty; None: a new one below `outputs/`, as for the command.

    Returns:
      The finished run, as `load_run` returns it.

    Raises:
      ConfigError: a setting is invalid; nothing was started.
      DataError: the data are missing or damaged, or training failed.
      TimeoutError: `max_minutes=` has passed; `ecgexp resume=FOLDER` resumes the run.
    """
    _check_words(overrides)
    with quiet_and_restored():
        from ecgexp.api.loading import load_run
        from ecgexp.config.compose import command_settings, load_whole, split_off_hydra
        from ecgexp.config.untrusted_overrides import check_typed_once, guarded
        from ecgexp.experiment.deadline import Deadline
        from ecgexp.tracking.credentials import without_credentials

        words = without_credentials(list(overrides))
        with guarded():
            whole = load_whole(words, own=config_dir)
        check_typed_once(words)
        run_dir = Path(str(whole.hydra.run.dir) if folder is None else folder).absolute()
        config, hydra = split_off_hydra(whole)
        run_dir.mkdir(parents=True, exist_ok=True)
        try:
            start_run(
                config,
                hydra,
                run_dir,
                deadline=Deadline(minutes=command_settings(config).max_minutes),
            )
        except OutOfTime as ended:  # it would end the kernel of a notebook
            raise TimeoutError(
                f"{ended}; the run can be resumed by `{to_type(['ecgexp', f'resume={run_dir}'])}`"
            ) from None
        return load_run(run_dir)


def start_run(
    config: "DictConfig",
    hydra: "HydraConf",
    run_dir: Path,
    *,
    deadline: "Deadline",
    on_accepted: "Callable[[Experiment], None]" = lambda experiment: None,
) -> None:
    """Start a run from a composed configuration; a refused one leaves no folder.

    Args:
      config: composed configuration.
      hydra: its node `hydra`.
      run_dir: folder of the run; it exists, and is new or empty.
      deadline: the time limit.
      on_accepted: called with the experiment before anything expensive.

    Raises:
      ConfigError, DataError, OutOfTime: see `ecgexp.experiment.run.run`.
    """
    from ecgexp.config.compose import (
        build_experiment,
        chosen_options,
        for_the_record,
        notes,
        own_folder_of,
        sweep_settings,
        to_yaml,
    )
    from ecgexp.experiment.run import run as run_experiment
    from ecgexp.sweeps.identity import command
    from ecgexp.tracking.local.hydra_files import write_notes
    from ecgexp.tracking.local.lock import discard, hold

    with hold(run_dir, new=True):
        try:
            sweep_settings(config).check_single_run()
            experiment = build_experiment(config, base_dir=Path.cwd())
            values: Mapping[str, Any] = for_the_record(config)
            experiment.check_can_start()  # before the import of what a run needs
            write_notes(run_dir, notes(config, hydra))
            on_accepted(experiment)
            chosen, own = chosen_options(hydra), own_folder_of(hydra)
            words = [*experiment.debug.words(), *chosen.values(), f"seed {experiment.seed}"]
            typed = command(list(hydra.overrides.task), config_dir=own)
            run_experiment(
                experiment,
                run_dir,
                config=values,
                resolved_yaml=to_yaml(dict(values)),
                name=" ".join(words),
                tags={"command": typed, **chosen},
                deadline=deadline,
            )
        except (ConfigError, DataError, KeyboardInterrupt, SystemExit):
            discard(run_dir)  # does nothing where the run has begun
            raise


def _check_words(overrides: Sequence[str]) -> None:
    if isinstance(overrides, str):
        raise ConfigError(f"overrides={overrides!r}: not a list of settings; use [{overrides!r}].")
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(
                f"overrides: {word!r} is not the text of a setting; use e.g. 'model=cnn1d'."
            )
        if word.startswith("-"):
            raise ConfigError(
                f"overrides: {word} is an option of the command; use settings such as "
                f"'model=cnn1d' and config_dir=, or the command `{to_type('ecgexp')}`."
            )
        if word.lstrip("+").startswith("resume="):
            raise ConfigError(
                f"{word}: a run is resumed by the command; use `ecgexp {word}` in a shell."
            )
