"""The MLflow model of a classifier, logged as this source file without pickle.

The weights are stored as data.

MLflow runs this file when it loads the model, which needs ecgexp installed. Do not import it.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class EcgClassifier(PythonModel):
    """Predicts class probabilities of raw windows in millivolts."""

    def load_context(self, context: Any) -> None:
        """Load the classifier; nothing in its folder is executed."""
        from ecgexp.models.classifier import load_classifier

        self._classifier = load_classifier(context.artifacts["classifier"])

    # MLflow's own method has no annotation, so that its result is inferred to be None.
    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # see above
        self, context: Any, model_input: np.ndarray, params: Any = None
    ) -> np.ndarray:
        """Return class probabilities.

        Args:
          context: given by MLflow, not used.
          model_input: (n, window, leads) float32 millivolts, or a dict of `signals_mv` (n, window,
            leads) and, where the model takes them, `rr` (n, 20) and `templates_mv` (n, window,
            leads). The annotation names only the array, because MLflow would use any other type as
            a second schema.
          params: not used.

        Returns:
          (n, num_classes) float64, columns in the order of the model's `class_names` metadata.
        """
        if isinstance(model_input, dict):
            return self._classifier.predict_probabilities(
                model_input["signals_mv"], model_input.get("rr"), model_input.get("templates_mv")
            )
        return self._classifier.predict_probabilities(model_input, None)


set_model(EcgClassifier())
