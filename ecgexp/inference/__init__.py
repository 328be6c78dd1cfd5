"""Inference: annotate the beats of recordings with the model of a finished run.

`model` loads the model of a run, `record` classifies the beats of one record, and `signals` those
of arrays, as in a request to a server; `output_files` writes the results, `report` tabulates them,
and `training_patients` notes which patients the model may have been trained on. The command that
finds the run is `ecgexp.cli`'s.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.inference.agreement import Agreement as Agreement
    from ecgexp.inference.agreement import agree as agree
    from ecgexp.inference.model import FinishedRun as FinishedRun
    from ecgexp.inference.model import TrainedModel as TrainedModel
    from ecgexp.inference.model import load_model as load_model
    from ecgexp.inference.record import Annotated as Annotated
    from ecgexp.inference.record import annotate as annotate
    from ecgexp.inference.signals import annotate_signal as annotate_signal
    from ecgexp.inference.training_patients import Exposure as Exposure
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
