"""The models: a settings class each, which builds a Keras model or fits a classical one."""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.models.base import ModelBuilder as ModelBuilder
    from ecgexp.models.base import NetworkBuilder as NetworkBuilder
    from ecgexp.models.classifier import Classifier as Classifier
    from ecgexp.models.cnn1d import Cnn1d as Cnn1d
    from ecgexp.models.cnn2d import Cnn2d as Cnn2d
    from ecgexp.models.estimator import EstimatorBuilder as EstimatorBuilder
    from ecgexp.models.extra_trees import ExtraTrees as ExtraTrees
    from ecgexp.models.mlp import Mlp as Mlp
    from ecgexp.models.preprocessing import ModelPreprocessing as ModelPreprocessing
    from ecgexp.models.resnet1d import Resnet1d as Resnet1d
    from ecgexp.models.saved_classifier import load_classifier as load_classifier
    from ecgexp.models.saved_classifier import save_classifier as save_classifier
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
