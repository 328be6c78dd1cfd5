"""Settings of a command that do not affect the result of any run: its output and its time limit."""

from ecgexp.settings.declaration import Positive, settings


@settings
class ConsoleSettings:
    """Settings of what a command prints.

    Attributes:
      json: whether standard output is one line of JSON; everything else is on standard error.
    """

    json: bool = False


@settings
class CommandSettings:
    """Settings of a command.

    Attributes:
      console: what it prints.
      max_minutes: time limit of a run, or of each job of a sweep; None: no limit. The run ends in
        order and can be resumed.

    Example:
      >>> CommandSettings().console.json
      False
    """

    console: ConsoleSettings = ConsoleSettings()
    max_minutes: Positive | None = None
