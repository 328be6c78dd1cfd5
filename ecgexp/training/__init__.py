"""The trainers: generators that take beats and yield one `EpochResult` per epoch or round.

The package holds the trainer protocol (`base`), the centralized trainer, DP-SGD (`dp`), federated
training (`federated`), and what they share: optimizers, losses, devices, model selection and
checkpoints. It uses the packages below it (privacy, clipping, models, augmentation, data);
`ecgexp.experiment` runs its trainers.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.training.base import EpochResult as EpochResult
    from ecgexp.training.base import OnProgress as OnProgress
    from ecgexp.training.base import Trainer as Trainer
    from ecgexp.training.base import TrainerState as TrainerState
    from ecgexp.training.base import TrainingData as TrainingData
    from ecgexp.training.centralized import Centralized as Centralized
    from ecgexp.training.checkpointing.manager import CheckpointRule as CheckpointRule
    from ecgexp.training.device import Device as Device
    from ecgexp.training.dp.trainer import DpSgd as DpSgd
    from ecgexp.training.federated.trainer import Federated as Federated
    from ecgexp.training.fit import Fit as Fit
    from ecgexp.training.loss import CrossEntropy as CrossEntropy
    from ecgexp.training.loss import Distillation as Distillation
    from ecgexp.training.model_selection import Selection as Selection
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
