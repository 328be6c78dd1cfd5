"""Features: the named arrays that a model receives for each beat.

`inputs` holds signal, image and RR features, `handcrafted` the seven numbers for small models,
`rhythm_morphology` numbers computed from whole records (`record_beats`), and `render` draws
the images. The package uses `ecgexp.data` and precedes `ecgexp.models`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.features.handcrafted import HandcraftedFeatures as HandcraftedFeatures
    from ecgexp.features.inputs import Features as Features
    from ecgexp.features.inputs import ImageFeatures as ImageFeatures
    from ecgexp.features.inputs import SignalFeatures as SignalFeatures
    from ecgexp.features.render import DEFAULT_LIMITS_MV as DEFAULT_LIMITS_MV
    from ecgexp.features.render import render_beats as render_beats
    from ecgexp.features.rhythm_morphology import (
        RhythmMorphologyFeatures as RhythmMorphologyFeatures,
    )
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
