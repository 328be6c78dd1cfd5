"""Random copies of training beats, drawn inside the training step: nothing augmented is ever stored, split or scored.

Importing these settings costs no TensorFlow; `build` does.
"""

from ecgexp.augmentation.base import Augmentation, AugmentFn
from ecgexp.augmentation.chain import Chain
from ecgexp.augmentation.crops import Crops9
from ecgexp.augmentation.image import ImageAugmentation
from ecgexp.augmentation.none import NoAugmentation
from ecgexp.augmentation.signal import SignalAugmentation

__all__ = [
    "AugmentFn",
    "Augmentation",
    "Chain",
    "Crops9",
    "ImageAugmentation",
    "NoAugmentation",
    "SignalAugmentation",
]
