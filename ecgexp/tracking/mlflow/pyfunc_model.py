"""The MLflow model of a classifier, logged as this source file without pickle.

The weights are stored as data.

MLflow runs this file when it loads the model, which needs ecgexp installed: a wheel of it is one of
the model's requirements. Do not import this file.
"""

from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class EcgClassifier(PythonModel):
    """Classifies the beats of signals, or windows of preprocessed beats."""

    def load_context(self, context: Any) -> None:
        """Load the classifier; nothing in its folder is executed."""
        from ecgexp.models.saved_classifier import load_classifier

        self._classifier = load_classifier(context.artifacts["classifier"])

    # MLflow's own method has no annotation, so that its result is inferred to be None.
    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # see above
        self, context: Any, model_input: pd.DataFrame, params: Any = None
    ) -> pd.DataFrame:
        """Return classes and probabilities; see `ecgexp.inference.signals.classify_rows`.

        Args:
          context: given by MLflow, not used.
          model_input: the rows.
          params: not used.

        Returns:
          A row for each beat.

        Raises:
          MlflowException: the input does not suit the model; a server answers with the message.
        """
        from ecgexp.inference.signals import classify_rows
        from ecgexp.settings.declaration import DataError

        try:
            return classify_rows(self._classifier, model_input)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(EcgClassifier())
