"""Noise calibration: a noise multiplier whose ε is at most a target, and close to it."""

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ecgexp.formatting import epsilon_text
from ecgexp.privacy import accounting
from ecgexp.privacy.accounting import (
    AccountantName,
    NeighboringRelation,
    approximated,
    epsilon,
    smallest_epsilon,
)
from ecgexp.settings.declaration import ConfigError

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_SMALLEST, _LARGEST = 1e-6, 1e5
_SMALLEST_TARGET = accounting.RESOLUTION
_LARGEST_TARGET = 1e7
# The grid of the search, relative to the reported one: ten times faster; its ε is up to 4 % larger.
_COARSER = 10
# For a target below, the largest noise is tried first, so that an infeasible one is refused at
# once.
_SMALL = 0.1
# For a target above, the RDP bound decides, in milliseconds: the PLD bound is at most a few per
# cent
# smaller.
_LARGE = 100.0
_TOLERANCE = 1e-3
_QUICK_TOLERANCE = 2e-3
_QUICK_GRID = 5e-4  # relative to the target


def calibrate_noise(
    make_event: Callable[[float], "DpEvent"],
    target_epsilon: float,
    delta: float,
    accountant: AccountantName = "pld",
    neighboring_relation: NeighboringRelation = "add_or_remove_one",
    *,
    near: float | None = None,
) -> float:
    """Find the noise multiplier whose ε is at most `target_epsilon`.

    **Guarantees**: ε at the result is at most the target, and within 0.1 % of it where the target
    is at most 100. The last ε is computed by the same function that will report it, so a calibrated
    run does not exceed its budget. Above 100 the RDP bound is at most the target, and the reported
    ε is the smaller of the RDP and the PLD bound.

    ε is nearly linear in the noise on logarithmic axes: RDP finds a start in milliseconds, and a
    few PLD values then suffice.

    Args:
      make_event: noise multiplier -> event of the whole run.
      target_epsilon: largest allowed ε.
      delta: δ of the guarantee.
      accountant: whose ε must be at most the target.
      neighboring_relation: see `epsilon`.
      near: for planning: a noise multiplier to start from. The result takes about a second and is
        also at most the target, but only within 0.3 % of it (for up to some thousand steps), since
        the search uses a coarser grid.

    Returns:
      The noise multiplier.

    Raises:
      ConfigError: the target is smaller than this accountant can certify with noise up to 1e5, or
        above 1e7; the message has a usable target.

    Example:
      >>> from ecgexp.privacy.dp_events import gaussian
      >>> round(calibrate_noise(gaussian, target_epsilon=1.0, delta=1e-5), 2)
      3.73
    """

    def reported(z: float, interval: float | None = None) -> float:
        return smallest_epsilon(
            make_event(z), delta, accountant, neighboring_relation, interval=interval
        )[0]

    def rdp(z: float) -> float:
        return epsilon(approximated(make_event(z)), delta, "rdp", neighboring_relation)

    _check_target(reported, target_epsilon)
    if near is not None:
        grid = _QUICK_GRID * target_epsilon
        return _solve(lambda z: reported(z, grid), target_epsilon, near, _QUICK_TOLERANCE)
    if accountant == "rdp":
        return _solve(reported, target_epsilon, 1.0, 1e-4)
    if target_epsilon > _LARGE:
        with contextlib.suppress(ConfigError):  # RDP does not support the event
            return _solve(
                lambda z: epsilon(make_event(z), delta, "rdp", neighboring_relation),
                target_epsilon,
                1.0,
                1e-4,
            )
    try:
        start = _solve(rdp, target_epsilon, 1.0, 0.05)
    except ConfigError:  # RDP does not support the event, or cannot certify so small an ε
        start = 1.0
    coarse = _COARSER * accounting.grid(target_epsilon)
    return _refine(lambda z: reported(z, coarse), reported, target_epsilon, start)


def check_target(target_epsilon: float) -> None:
    """Check that some run may meet a target, before its steps and its units are known.

    Args:
      target_epsilon: largest allowed ε.

    Raises:
      ConfigError: no accountant certifies so small an ε, for any number of steps, or the target has
        no meaning.
    """
    _check_meaning(target_epsilon)
    if target_epsilon < _SMALLEST_TARGET:
        raise ConfigError(
            f"privacy.target_epsilon={target_epsilon:g} is below {_SMALLEST_TARGET:g}, and the "
            "accountants distinguish no smaller ε; use "
            f"privacy.target_epsilon={_SMALLEST_TARGET:g} or more."
        )


def _check_meaning(target: float) -> None:
    if target > _LARGEST_TARGET:
        raise ConfigError(
            f"privacy.target_epsilon={target:g} is above {_LARGEST_TARGET:g}, where ε has no "
            "meaning; use a smaller privacy.target_epsilon, e.g. 8, or privacy.noise_multiplier."
        )


def _check_target(reported: Callable[[float], float], target: float) -> None:
    """Check that some noise meets the target; computes at most one ε."""
    _check_meaning(target)
    if target < _SMALLEST_TARGET:
        least = max(_SMALLEST_TARGET, reported(_LARGEST))
    elif target < _SMALL:
        least = reported(_LARGEST)
    else:
        return
    if least > target:
        raise _infeasible(target, least)


def _infeasible(target: float, least: float) -> ConfigError:
    # Rounded up with a margin, so that less than the largest noise suffices.
    usable = (
        f"{float(epsilon_text(least if least == _SMALLEST_TARGET else 1.02 * least, digits=2)):g}"
    )
    return ConfigError(
        f"privacy.target_epsilon={target:g} is less than this accountant can certify for so many "
        f"steps at this δ; use privacy.target_epsilon={usable} or more, or fewer steps."
    )


def _refine(
    coarse: Callable[[float], float], fine: Callable[[float], float], target: float, start: float
) -> float:
    """Solve on the coarse grid, corrected by its ratio to the fine one, in a few fine values."""
    aim, z = target * (1 - _TOLERANCE / 2), start
    for _ in range(4):
        try:
            z = _solve(coarse, aim, z, _TOLERANCE / 5)
        except ConfigError:  # infeasible on the coarse grid, whose ε is larger
            break
        reported = fine(z)
        if target * (1 - _TOLERANCE) <= reported <= target:
            return z
        if not 0 < reported < math.inf:  # ε is a step function here: use the reported values only
            break
        aim = coarse(z) * target * (1 - _TOLERANCE / 2) / reported
    return _solve(fine, target, z, _TOLERANCE)


def _solve(
    epsilon_at: Callable[[float], float], target: float, start: float, tolerance: float
) -> float:
    """Return z with target · (1 - tolerance) <= ε(z) <= target, for a decreasing ε."""
    low, high = _bracket(epsilon_at, target, start)
    aim = math.log(target * (1 - tolerance / 2))
    while high[1] < target * (1 - tolerance) and high[0] > low[0] * (1 + 1e-9):
        z = _between(low, high, aim)
        point = (z, epsilon_at(z))
        low, high = (low, point) if point[1] <= target else (point, high)
    return high[0]


def _bracket(
    epsilon_at: Callable[[float], float], target: float, start: float
) -> tuple[tuple, tuple]:
    """Return two points (z, ε) that enclose the target: with too little noise, and with enough."""
    point = (start, epsilon_at(start))
    step = 1.15 if start != 1.0 else 2.0  # a start that RDP found is close
    falling = point[1] > target
    while True:
        z = point[0] * (step if falling else 1 / step)
        if falling and z > _LARGEST > point[0]:
            z = _LARGEST
        if not _SMALLEST <= z <= _LARGEST:
            if not falling:  # even the smallest noise is enough
                return (z, math.inf), point
            raise _infeasible(target, point[1])
        following = (z, epsilon_at(z))
        if (following[1] > target) != falling:
            return (point, following) if falling else (following, point)
        point, step = following, min(2.0, step**2)


def _between(low: tuple[float, float], high: tuple[float, float], aim: float) -> float:
    """Return where the chord in (log z, log ε) meets `aim`, away from both ends of the bracket."""
    (x0, y0), (x1, y1) = ((math.log(z), math.log(max(e, 1e-300))) for z, e in (low, high))
    share = (y0 - aim) / (y0 - y1) if math.isfinite(y0) and y0 > y1 else 0.5
    return math.exp(x0 + min(max(share, 0.02), 0.98) * (x1 - x0))
