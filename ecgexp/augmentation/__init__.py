"""Random variants of training beats, drawn in the training step.

Augmented beats are never stored, split or scored.

Importing these settings costs no TensorFlow; `build` does.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.augmentation.base import Augmentation as Augmentation
    from ecgexp.augmentation.base import AugmentFn as AugmentFn
    from ecgexp.augmentation.chain import Chain as Chain
    from ecgexp.augmentation.chain import NoAugmentation as NoAugmentation
    from ecgexp.augmentation.image import Crops9 as Crops9
    from ecgexp.augmentation.image import ImageAugmentation as ImageAugmentation
    from ecgexp.augmentation.signal import SignalAugmentation as SignalAugmentation
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
