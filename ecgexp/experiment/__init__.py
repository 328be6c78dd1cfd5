"""One run, from its settings to its artifacts.

`experiment.Experiment` holds the parts of a run, and `run.run` executes it: `data` loads the beats
and assigns them, `class_coverage` checks them, `training_loop` trains and saves, `final_evaluation`
evaluates the selected weights, `trained_model` states what the run found, `artifacts` and `clients`
write tables, figures and the model, and `federated_baselines` trains the models that a federated
one is compared with. `notes` holds what is said about the result.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.experiment.data import RunData as RunData
    from ecgexp.experiment.debug import Debug as Debug
    from ecgexp.experiment.experiment import Experiment as Experiment
    from ecgexp.experiment.experiment import Figures as Figures
    from ecgexp.experiment.experiment import FurtherResults as FurtherResults
    from ecgexp.experiment.federated_baselines import FederatedBaselines as FederatedBaselines
    from ecgexp.experiment.training_loop import TrainingLoop as TrainingLoop
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
