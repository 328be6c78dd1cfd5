"""Trackers, which store the parameters, metrics and files of a run.

`tracking.local` writes a run to its folder, `tracking.mlflow` to an MLflow store, and
`MirroredTracker` to both. The package lies below the experiment and above `settings` and `storage`.
Importing it does not import MLflow: a run that uses `tracking=mlflow` does so when it starts.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.tracking.base import DatasetInput as DatasetInput
    from ecgexp.tracking.base import ReadableTracker as ReadableTracker
    from ecgexp.tracking.base import Tracker as Tracker
    from ecgexp.tracking.base import TrackerUnavailable as TrackerUnavailable
    from ecgexp.tracking.local.result import Result as Result
    from ecgexp.tracking.local.tracker import JsonlTracker as JsonlTracker
    from ecgexp.tracking.mirrored import MirroredTracker as MirroredTracker
    from ecgexp.tracking.mlflow.tracker import MlflowTracker as MlflowTracker
    from ecgexp.tracking.other_settings import TensorboardTracking as TensorboardTracking
    from ecgexp.tracking.other_settings import WandbTracking as WandbTracking
    from ecgexp.tracking.settings import MlflowTracking as MlflowTracking
    from ecgexp.tracking.settings import NoTracking as NoTracking
    from ecgexp.tracking.without_store import MemoryTracker as MemoryTracker
    from ecgexp.tracking.without_store import NullTracker as NullTracker
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
