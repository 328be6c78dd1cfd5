"""Format ε for display, rounded up.

ε is an upper bound, so it is rounded up: 2.1245 is displayed as 2.13. Machine-readable files hold
all digits.
"""

import math
from decimal import ROUND_CEILING, Decimal

_BLANK = "\N{NO-BREAK SPACE}"


def epsilon_text(value: float | None, *, decimals: int | None = None, digits: int = 3) -> str:
    """Format ε, rounded up: `0.615`, `12.4`, `1 235`, `1e-05`, `∞`; `–` if there is no value.

    Args:
      value: ε; None or NaN if there is none.
      decimals: Digits after the decimal point, e.g. 2 for `0.62`; None: use `digits` instead.
      digits: Significant digits of a value below 1000. From 1000 to a million, whole numbers are
        used; above, scientific notation.

    Returns:
      The formatted value, never smaller than `value`.
    """
    if value is None or math.isnan(value):
        return "–"
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
        return f"{_up(exact, 0):,.0f}".replace(",", _BLANK)
    return f"{rounded:.{max(0, -last)}f}"


def _up(exact: Decimal, last: int) -> Decimal:
    """Round `exact` up to a multiple of 10^last."""
    unit = Decimal(1).scaleb(last)
    return (exact / unit).to_integral_value(rounding=ROUND_CEILING) * unit
