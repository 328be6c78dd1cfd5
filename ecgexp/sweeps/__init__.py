"""Many runs as one piece of work: what is done is not done again, what failed is named, and what it all cost is added up."""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.sweeps.attempts import Attempt as Attempt
    from ecgexp.sweeps.attempts import Attempts as Attempts
    from ecgexp.sweeps.sweep import Sweep as Sweep
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
