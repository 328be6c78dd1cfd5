"""The commands, one file each: they parse arguments, call other packages, and print.

`arguments` holds what the `ecgexp-*` commands share: options, exit codes and error messages.
`run_argument` finds the run that an argument names, `streams` makes writing to the terminal safe,
and `multirun` holds the Hydra callback that opens a sweep and the function that runs its jobs.
This package is the last one in the order of packages: no other package imports it.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.cli.multirun import Opening as Opening
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
