"""Score the sealed test beats of one run of a study.

Runs with test=sealed score no test beats, so that a configuration is chosen by validation scores.
This command opens them for the chosen run, adds the scores to the run, and records the evaluation
in the log of the store. A study is all sealed runs with the same name= on the same database; its
test beats are opened for one run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ecgexp.cli.arguments import Parser, run_command
from ecgexp.cli.run_argument import named_folder, naming
from ecgexp.cli.streams import command
from ecgexp.settings.declaration import DataError
from ecgexp.settings.installation import to_type

_EXAMPLE = """\
ecgexp-open outputs/ecgexp/2026-01-31_12-00-00-000000_sweep/3
ecgexp-open 7294"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Returns:
      0, or 2 for an error.
    """
    options = _parse(arguments)
    # TensorFlow logs harmless messages as errors whenever it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return run_command("ecgexp-open", lambda: _open(options))


def _open(options: argparse.Namespace) -> int:
    folder = named_folder(options.run, "RUN ", store=options.store, latest="finished").absolute()
    from ecgexp.experiment.opening import check_sealed
    from ecgexp.tracking.base import TrackerUnavailable
    from ecgexp.tracking.ending import complete
    from ecgexp.tracking.local.lock import hold

    with naming(options.run, "RUN "):
        check_sealed(folder)
        with hold(folder, new=False, setting="RUN"):
            _score(folder)
            try:
                complete(folder, store=options.store)
            except TrackerUnavailable as error:
                raise DataError(
                    f"the scores are in {folder}/result.json, and MLflow lacks them: {error}; use "
                    f"{to_type(['ecgexp-sync', str(folder)])} when it answers"
                ) from error
    print(f"{folder}/result.json")
    return 0


def _score(folder: Path) -> None:
    from ecgexp.cli.resume import stored_config, working_folder
    from ecgexp.config.compose import build_experiment
    from ecgexp.console import Console
    from ecgexp.experiment.opening import open_sealed

    stored = stored_config(folder, [])
    os.chdir(working_folder(folder))
    open_sealed(
        build_experiment(stored, base_dir=Path.cwd()),
        folder,
        study=str(stored.name),
        console=Console(),
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="ecgexp-open", description=__doc__, example=_EXAMPLE)
    parser.add_run(help="a finished run with test=sealed: {}")
    parser.add_store()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
