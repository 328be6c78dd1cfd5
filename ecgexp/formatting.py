"""Format numbers for display: the one place that decides about digits, blanks and signs.

ε is an upper bound, so it is rounded up: 2.1245 is displayed as 2.13. A score has three decimals.
A no-break space stands between thousands and before a unit, so that a number is not torn apart at
the end of a line. Machine-readable files hold all digits and use none of these functions.
"""

import math
from decimal import ROUND_CEILING, Decimal

BLANK = "\N{NO-BREAK SPACE}"
NO_VALUE = "–"


def epsilon_text(value: float | None, *, decimals: int | None = None, digits: int = 3) -> str:
    """Format ε, rounded up: `0.615`, `12.4`, `1 235`, `1e-05`, `∞`; `–` if there is no value.

    Args:
      value: ε; None or NaN if there is none.
      decimals: Digits after the decimal point, e.g. 2 for `0.62`; None: use `digits` instead.
      digits: Significant digits of a value below 1000. From 1000 to a million, whole numbers are
        used; above, scientific notation.

    Returns:
      The formatted value, never smaller than `value`.

    Example:
      >>> epsilon_text(2.1245)
      '2.13'
    """
    if value is None or math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "∞"
    exact = Decimal(repr(float(value)))
    if not exact:
        return f"{0:.{decimals}f}" if decimals is not None else "0"
    last = -decimals if decimals is not None else exact.adjusted() - digits + 1
    if exact >= 1_000_000:
        return f"{_up(exact, exact.adjusted() - digits + 1):.{digits - 1}e}"
    rounded = _up(exact, last)
    if decimals is None and rounded < Decimal("0.0001"):
        return f"{float(rounded):.{digits}g}"
    if decimals is None and rounded >= 1000:
        return f"{_up(exact, 0):,.0f}".replace(",", BLANK)
    return f"{rounded:.{max(0, -last)}f}"


def score_text(value: float | None, *, undefined: str = NO_VALUE) -> str:
    """Format a score with three decimals: `0.812`; `undefined` if it is None or NaN."""
    return undefined if value is None or math.isnan(value) else f"{value:.3f}"


def difference_text(value: float) -> str:
    """Format a difference of scores: `−0.012`; one significant digit if three decimals are all 0.

    The sign is the minus sign of print (U+2212). NaN is `–`.

    Example:
      >>> difference_text(-0.0123)
      '−0.012'
    """
    if 0 < abs(value) < 0.0005:
        magnitude = Decimal(f"{abs(value):.0e}")
        return f"{'−' if value < 0 else ''}{magnitude:f}"
    return score_text(value).replace("-", "−")


def significant_text(value: float | None) -> str:
    """Format with three significant digits: `0.0123`, `1.2`, `12 500`, `1e-05`, `∞`, `–`."""
    if value is None or math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 999.5:
        return count_text(round(value))
    return f"{value:.3g}"


def count_text(count: int) -> str:
    """Format a number of things, thousands apart: `10 000`."""
    return f"{count:,}".replace(",", BLANK)


def number_text(count: int, what: str) -> str:
    """Format a number of things with their name: `1 job`, `10 000 beats`, `2 classes`.

    Args:
      count: how many.
      what: name of one of them, e.g. `job`.

    Example:
      >>> number_text(1, "job"), number_text(2, "class")
      ('1 job', '2 classes')
    """
    ending = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count_text(count)} {what}{ending}"


def percent_text(fraction: float) -> str:
    """Format a fraction in percent, with one decimal: `12.5 %`; a smaller one is `< 0.1 %`."""
    return f"<{BLANK}0.1{BLANK}%" if fraction < 0.001 else f"{100 * fraction:.1f}{BLANK}%"


def p_value_text(value: float) -> str:
    """Format a p value with two significant digits; values below 1e-4 are not resolved."""
    return "below 0.0001" if value < 1e-4 else f"{value:.2g}"


def duration_text(seconds: float) -> str:
    """Format a duration: `81 s`; from ten minutes on in minutes, `22 min`."""
    return f"{seconds:.0f}{BLANK}s" if seconds < 600 else f"{seconds / 60:.0f}{BLANK}min"


def age_text(seconds: float) -> str:
    """Format how long ago something was, in one unit: `40 s`, `5 min`, `3 h`, `12 d`."""
    for unit, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{max(0, int(seconds // length))}{BLANK}{unit}"
    return f"{int(seconds // 86400)}{BLANK}d"


def _up(exact: Decimal, last: int) -> Decimal:
    """Round `exact` up to a multiple of 10^last."""
    unit = Decimal(1).scaleb(last)
    return (exact / unit).to_integral_value(rounding=ROUND_CEILING) * unit
