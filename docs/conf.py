"""Sphinx configuration: MyST pages, notebooks, a generated reference, and the API from docstrings.

Nothing is fetched from the network, and TensorFlow is never imported: it and the other heavy
libraries are mocked for autodoc.
"""

import re
import sys
from pathlib import Path

_DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(_DOCS.parent), str(_DOCS)]

import generate_reference  # noqa: E402  (needs the path above)

project = "ecgexp"
author = "the ecgexp authors"
copyright = "the ecgexp authors"  # noqa: A001  (Sphinx's name)
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_generated", "reference/generated/renamed_settings.md"]
html_theme = "furo"
html_title = "ecgexp"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
default_role = "code"  # docstrings write `name` as Markdown does
nb_execution_mode = "off"  # the tests run the notebooks
nitpicky = False

# Imported only by the run that needs them; none is needed to read a docstring.
autodoc_mock_imports = [
    "tensorflow",
    "tensorflow_federated",
    "tensorflow_privacy",
    "mlflow",
    "matplotlib",
    "ray",
    "optuna",
    "wfdb",
]
autodoc_typehints = "none"
napoleon_use_ivar = True  # a property that `Attributes` describes has one entry, not two
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
_MARKUP = re.compile(r"([*|]|(?<=\w)_(?=\W|$))")


def _as_rst(app, what, name, obj, options, lines):
    """Read docstrings as Markdown: a name in backticks is code, nothing else is markup."""
    for i, line in enumerate(lines):
        parts = _CODE.split(line)
        parts[::2] = [_MARKUP.sub(r"\\\1", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app):
    """Write the generated pages before Sphinx collects its sources."""
    generate_reference.write(_DOCS / "reference" / "generated")
    app.connect("autodoc-process-docstring", _as_rst, priority=900)
