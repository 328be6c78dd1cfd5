"""Exact per-example gradient clipping for Keras models, for DP-SGD.

`build.build_clipper` checks a model and returns its clipper. `ghost` computes the sum of clipped
gradients by book-keeping, `reference` by two slower loops that serve as references. `rules`
declares what a layer family needs, `registry` lists the rules, and `rounding` bounds gradient norms
from above in floating point. `checks`, `callables` and `probe` reject models, losses and
augmentations that mix the examples of a batch. Privacy plan, noise and accounting are in
`ecgexp.privacy`; the training step that adds noise is in `ecgexp.training.dp`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.clipping.base import ClippedSum as ClippedSum
    from ecgexp.clipping.base import Clipper as Clipper
    from ecgexp.clipping.build import build_clipper as build_clipper
    from ecgexp.clipping.rules import Rule as Rule
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
