"""Features: the named arrays that a model receives for each beat.

`inputs` holds signal, image and RR features, `handcrafted` the seven numbers for small models, and
`render` draws the images. The package uses `ecgexp.data` and precedes `ecgexp.models`.
"""

from ecgexp.features.render import DEFAULT_LIMITS_MV, render_beats

__all__ = ["DEFAULT_LIMITS_MV", "render_beats"]
