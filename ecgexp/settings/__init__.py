"""Settings classes and the errors of unusable settings; first in the order of packages.

`declaration` holds the `@settings` dataclass decorator, the constrained types and the error
classes; `build` makes objects from nodes with a `_target_`; `paths` resolves and checks paths;
`redaction` hides secrets. Every other package may import this one; it imports none of them.
"""
