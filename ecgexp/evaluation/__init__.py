"""Evaluation: scores, confidence intervals, paired comparisons, tables and figures.

Sensitivity (recall) and positive predictivity (precision) are those of ANSI/AAMI EC57. They come
from the confusion matrix of all beats: exemptions of EC57 and its learning period are not applied.
An undefined score, such as the positive predictivity of a class that was never predicted, is NaN
with a reason, not 0. The package does not import TensorFlow.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.evaluation.bootstrap import Bootstrap as Bootstrap
    from ecgexp.evaluation.bootstrap import Interval as Interval
    from ecgexp.evaluation.bootstrap import cluster_bootstrap as cluster_bootstrap
    from ecgexp.evaluation.calibration import Reliability as Reliability
    from ecgexp.evaluation.calibration import reliability as reliability
    from ecgexp.evaluation.clients import ClientScores as ClientScores
    from ecgexp.evaluation.clients import score_clients as score_clients
    from ecgexp.evaluation.evaluator import Evaluation as Evaluation
    from ecgexp.evaluation.evaluator import evaluate as evaluate
    from ecgexp.evaluation.metrics import Scores as Scores
    from ecgexp.evaluation.metrics import score as score
    from ecgexp.evaluation.paired_differences import PairedDifference as PairedDifference
    from ecgexp.evaluation.paired_differences import PairedDifferences as PairedDifferences
    from ecgexp.evaluation.paired_tests import McNemar as McNemar
    from ecgexp.evaluation.paired_tests import SignFlip as SignFlip
    from ecgexp.evaluation.paired_tests import mcnemar as mcnemar
    from ecgexp.evaluation.paired_tests import sign_flip_test as sign_flip_test
    from ecgexp.evaluation.pairs import Pairs as Pairs
    from ecgexp.evaluation.pairs import Predictions as Predictions
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
