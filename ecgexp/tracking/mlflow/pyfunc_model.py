"""The MLflow model of a classifier, logged as this very code: no pickle, and the weights stay data.

MLflow runs this file when it loads the model; it is not meant to be imported. Whoever loads it needs ecgexp installed.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class EcgClassifier(PythonModel):
    """Scores raw windows in millivolts with the classifier that lies among the model's artifacts."""

    def load_context(self, context: Any) -> None:
        """Reads the classifier; nothing in its folder is executed."""
        from ecgexp.models.classifier import load_classifier

        self._classifier = load_classifier(context.artifacts["classifier"])

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Class probabilities.

        Args:
          context: given by MLflow, not used.
          model_input: (n, window, leads) float32 millivolts, or a dict of `signals_mv` (n, window, leads) and what the
            model takes beside: `rr` (n, 20), `templates_mv` (n, window, leads).
            The annotation names only the array: any other hint MLflow would take for a schema, beside the signature.
          params: none.

        Returns:
          (n, num_classes) float64, columns in the order of the model's `class_names` metadata.
        """
        if isinstance(model_input, dict):
            return self._classifier.predict_probabilities(
                model_input["signals_mv"], model_input.get("rr"), model_input.get("templates_mv")
            )
        return self._classifier.predict_probabilities(model_input, None)


set_model(EcgClassifier())
