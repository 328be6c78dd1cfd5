"""Exact per-example gradient clipping for Keras models, for DP-SGD.

`build.build_clipper` checks a model and returns its clipper. `ghost` computes the sum of clipped
gradients by book-keeping, `reference` by two slower loops that serve as references. `rules`
declares what a layer family needs, `registry` lists the rules, and `rounding` bounds gradient norms
from above in floating point. `checks`, `callables` and `probe` reject models, losses and
augmentations that mix the examples of a batch. Privacy plan, noise and accounting are in
`ecgexp.privacy`; the training step that adds noise is in `ecgexp.training.dp`.
"""
