"""Matplotlib figures as inline SVG with unique identifiers, local styles and a text description.

Import this module only where figures are made: it loads matplotlib.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ecgexp.evaluation.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

P = ParamSpec("P")

# A `$` in the name of a run is not math. Letters are drawn as paths, equal in every browser.
_RC: "dict[RcKeyType, Any]" = {
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "ecgexp",
    "font.size": 9.5,
}
# Color of a figure -> variable of the page's style sheet, where dark mode has other values.
_VARIABLES = {
    color.lower(): f"--{name}"
    for name, color in {
        "blue": BLUE,
        "vermilion": VERMILION,
        "green": GREEN,
        "purple": PURPLE,
        "orange": ORANGE,
        "sky": SKY,
        "ink": INK,
        "muted": MUTED,
        "faint": FAINT,
        "paper": "#ffffff",
    }.items()
}
_LARGEST = 1.25 * 4 / 3  # pixels per point on a wide screen
_SVG_DPI = 72
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def drawn(make: Callable[P, Figure]) -> Callable[P, Figure]:
    """Apply the style of the report to a function that makes a figure for SVG."""

    @styled
    @wraps(make)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_RC):
            return make(*args, **kwargs)

    return wrapper


def panel(width: float, height: float, *, synthetic: bool) -> Figure:
    """Return an empty figure; the page adds its title.

    Args:
      width: inches; about 3.6 is the whole width of a phone.
      height: inches.
      synthetic: whether to mark the figure as made from synthetic data.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    if synthetic:
        figure.text(
            0.995, 0.995, "synthetic data", ha="right", va="top", color=VERMILION, fontsize=6.5
        )
        # Below the mark.
        figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - 0.13 / height))
    return figure


def inline_svg(figure: Figure, *, name: str, title: str, description: str) -> Markup:
    """Return the figure as one `<svg>` element.

    Args:
      figure: made by a function with the decorator `drawn`.
      name: unique on the page; letters, digits and `-`.
      title: a few words.
      description: the content with its numbers, for screen readers.
    """
    text = _svg_text(figure)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(
        r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL
    )
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r'style="[^"]*"', _with_color_names, body)
    width, height = (72 * size for size in figure.get_size_inches())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width:{width * _LARGEST:.0f}px" '
        'stroke-linejoin="round" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
    )
    words = (
        f'<title id="{name}-title">{escape(plain(title))}</title>'
        f'<desc id="{name}-desc">{escape(plain(description))}</desc>'
    )
    return Markup(head + words + re.sub(r"\n+", "\n", body).strip())


def _svg_text(figure: Figure) -> str:
    """Return the file that `savefig` writes, which would draw all once more to lay it out."""
    target = io.StringIO()
    FigureCanvasSVG(figure)
    figure.dpi = _SVG_DPI  # of all SVG; the layout depends on it
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # An emoji in a name is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(target, format="svg", metadata=_NO_METADATA)
    return target.getvalue()


def _with_color_names(style: re.Match[str]) -> str:
    """Replace the colors of the figures by those of the page, which differ in dark mode."""
    return re.sub(
        r"#[0-9a-f]{6}\b",
        lambda color: f"var({_VARIABLES[color[0]]})" if color[0] in _VARIABLES else color[0],
        style[0],
    )


def plain(text: str) -> str:
    """`text` without control characters, which XML forbids and no page shows.

    Line ends and tabs become blanks.
    """
    spaced = re.sub(r"[\t\r\n]+", " ", text)
    return "".join(letter for letter in spaced if unicodedata.category(letter) not in ("Cc", "Cs"))


def cut(text: str, length: int) -> str:
    """`text` with at most so many characters; where some are missing it ends in `…`."""
    text = plain(text)
    return text if len(text) <= length else text[: length - 1] + "…"
