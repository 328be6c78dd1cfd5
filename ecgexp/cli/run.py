"""The entry point of `ecgexp`: says at once that a run starts, before slow libraries are imported.

Hydra and the settings take one to two seconds to import, TensorFlow up to half a minute.
"""

import os
import sys

from ecgexp import __version__
from ecgexp.cli.streams import command

_ONLY_SHOW = {
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
}


def _only_shows() -> bool:
    """Returns whether the purpose of the command is its output; a run's result is in its folder."""
    return bool(_ONLY_SHOW & {word.partition("=")[0] for word in sys.argv[1:]})


def _answers() -> bool:
    """Returns whether the purpose of the command is its output."""
    return _only_shows() or "console.json=true" in sys.argv


def _run() -> int | None:
    if "--version" in sys.argv[1:]:  # Hydra would print its own
        print(f"ecgexp {__version__}")
        return None
    if not _only_shows():
        print(f"ecgexp {__version__} · process {os.getpid()}", file=sys.stderr, flush=True)
    from ecgexp.cli.running import run_command

    return run_command()


main = command(_run, answers=_answers)
"""Entry point of the console script; for the exit codes see `running.run_command`."""

if __name__ == "__main__":
    sys.exit(main())
