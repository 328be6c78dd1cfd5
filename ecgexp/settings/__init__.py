"""Settings classes and the errors of unusable settings; first in the order of packages.

`declaration` holds the `@settings` dataclass decorator, the constrained types and the error
classes; `build` makes objects from nodes with a `_target_`; `paths` resolves and checks paths;
`redaction` hides secrets. Every other package may import this one; it imports none of them.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.settings.declaration import ConfigError as ConfigError
    from ecgexp.settings.declaration import Count as Count
    from ecgexp.settings.declaration import DataError as DataError
    from ecgexp.settings.declaration import Fraction as Fraction
    from ecgexp.settings.declaration import JobFailed as JobFailed
    from ecgexp.settings.declaration import MachineError as MachineError
    from ecgexp.settings.declaration import Milliseconds as Milliseconds
    from ecgexp.settings.declaration import NonNegative as NonNegative
    from ecgexp.settings.declaration import NonNegativeInt as NonNegativeInt
    from ecgexp.settings.declaration import Number as Number
    from ecgexp.settings.declaration import Positive as Positive
    from ecgexp.settings.declaration import Probability as Probability
    from ecgexp.settings.declaration import Rate as Rate
    from ecgexp.settings.declaration import Seed as Seed
    from ecgexp.settings.declaration import Span as Span
    from ecgexp.settings.declaration import Whole as Whole
    from ecgexp.settings.declaration import Width as Width
    from ecgexp.settings.declaration import settings as settings
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
