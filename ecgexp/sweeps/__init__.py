"""Jobs of a multirun: identity, attempts, budget, parent run and privacy loss.

`sweep` is one invocation of a sweep and its folder, `attempts` the record of every try at a job,
`identity` recognizes finished jobs by a digest, `spent` collects the privacy loss of all jobs,
`closing` creates and ends the parent run, and `cores` shares the cores among parallel jobs. The
command that starts a multirun is in `ecgexp.cli`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.sweeps.attempts import Attempt as Attempt
    from ecgexp.sweeps.attempts import Attempts as Attempts
    from ecgexp.sweeps.sweep import Sweep as Sweep
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
