"""`ecgexp.run`, `ecgexp.load_run` and `ecgexp.runs`: the commands for Python and notebooks.

They raise `ConfigError` and `DataError` where the commands print a line, and leave the process as
it was: signal handlers, working folder, environment and logging.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.api.loading import LoadedRun as LoadedRun
    from ecgexp.api.loading import load_run as load_run
    from ecgexp.api.loading import runs as runs
    from ecgexp.api.running import run as run
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
