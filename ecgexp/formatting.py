"""How an ε is written for a person: never smaller than it is.

An ε is an upper bound, so its digits are cut upwards: 2.1245 is written 2.13. Files for programs hold all digits.
"""

import math
from decimal import ROUND_CEILING, Decimal

_BLANK = "\N{NO-BREAK SPACE}"


def epsilon_text(value: float | None, *, decimals: int | None = None, digits: int = 3) -> str:
    """ε rounded up: `0.615`, `12.4`, `1 235`, `1e-05`; `∞`, and `–` where there is none.

    Args:
      value: ε.
      decimals: digits after the point, e.g. 2 for `0.62`; None: `digits` counts all that are significant.
      digits: significant digits of a number below 1000; above, whole numbers are written up to a million.
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
    """`exact`, rounded up to a multiple of 10^last."""
    unit = Decimal(1).scaleb(last)
    return (exact / unit).to_integral_value(rounding=ROUND_CEILING) * unit
