"""The part of scikit-learn 1.5 that the package uses; scikit-learn publishes no types."""

from typing import Any

def __getattr__(name: str) -> Any: ...
