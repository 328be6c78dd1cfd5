"""The least noise that keeps a promise."""

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
_COARSER = (
    10  # times the reported grid: that of the search; ten times faster, and up to 4 % above it
)
_SMALL = 0.1  # a target below which the largest noise is tried first, so that one out of reach is refused at once
_LARGE = 100.0  # a target above which the bound of RDP decides, in milliseconds: that of PLD is a few per cent smaller at most
_TOLERANCE = 1e-3
_QUICK_TOLERANCE = 2e-3
_QUICK_GRID = 5e-4  # of the target


def calibrate_noise(
    make_event: Callable[[float], "DpEvent"],
    target_epsilon: float,
    delta: float,
    accountant: AccountantName = "pld",
    neighboring_relation: NeighboringRelation = "add_or_remove_one",
    *,
    near: float | None = None,
) -> float:
    """The noise multiplier whose ε is at most `target_epsilon`, and within 0.1 % of it where the target is at most 100.

    The last ε is computed by the very call that will report it, so a calibrated run never exceeds its budget; above 100 the bound
    of RDP keeps it, and the ε reported is the smaller of that and PLD's. ε over
    noise is nearly straight on logarithmic axes: RDP finds the neighbourhood in milliseconds, then a handful of PLD
    values suffice.

    Args:
      make_event: noise multiplier -> everything the run will do.
      target_epsilon: the promise.
      delta: its δ.
      accountant: whose ε must keep it.
      neighboring_relation: see `epsilon`.
      near: for planning: a guess to start from. The answer keeps the promise too and is there in about a second, but only
        within 0.3 % of the target (for up to some thousand steps), since the search is made on a coarser grid.

    Raises:
      ConfigError: the target is smaller than this accountant can certify, with noise up to 1e5, or above 1e7; the message says
        what can be had.
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
        with contextlib.suppress(ConfigError):  # RDP knows no such event
            return _solve(
                lambda z: epsilon(make_event(z), delta, "rdp", neighboring_relation),
                target_epsilon,
                1.0,
                1e-4,
            )
    try:
        start = _solve(rdp, target_epsilon, 1.0, 0.05)
    except ConfigError:  # RDP knows no such event, or cannot certify so small an ε
        start = 1.0
    coarse = _COARSER * accounting.grid(target_epsilon)
    return _refine(lambda z: reported(z, coarse), reported, target_epsilon, start)


def _check_target(reported: Callable[[float], float], target: float) -> None:
    """Refuses what no noise reaches, after at most one ε."""
    if target > _LARGEST_TARGET:
        raise ConfigError(
            f"privacy.target_epsilon={target:g} is above {_LARGEST_TARGET:g}, where ε says nothing any more; use a smaller "
            "privacy.target_epsilon, e.g. 8, or privacy.noise_multiplier."
        )
    if target < _SMALLEST_TARGET:
        least = max(_SMALLEST_TARGET, reported(_LARGEST))
    elif target < _SMALL:
        least = reported(_LARGEST)
    else:
        return
    if least > target:
        raise _infeasible(target, least)


def _infeasible(target: float, least: float) -> ConfigError:
    # Rounded up, and a little more, for a noise below the largest.
    usable = (
        f"{float(epsilon_text(least if least == _SMALLEST_TARGET else 1.02 * least, digits=2)):g}"
    )
    return ConfigError(
        f"privacy.target_epsilon={target:g} is less than this accountant can certify for so many steps at this δ; use "
        f"privacy.target_epsilon={usable} or more, or fewer steps."
    )


def _refine(
    coarse: Callable[[float], float], fine: Callable[[float], float], target: float, start: float
) -> float:
    """Solves on the coarse grid, corrected by how far it lies from the fine one: two or three fine values in all."""
    aim, z = target * (1 - _TOLERANCE / 2), start
    for _ in range(4):
        try:
            z = _solve(coarse, aim, z, _TOLERANCE / 5)
        except ConfigError:  # out of reach on the coarse grid, whose ε is the larger
            break
        reported = fine(z)
        if target * (1 - _TOLERANCE) <= reported <= target:
            return z
        if not 0 < reported < math.inf:  # ε falls in steps here: only the reported one tells
            break
        aim = coarse(z) * target * (1 - _TOLERANCE / 2) / reported
    return _solve(fine, target, z, _TOLERANCE)


def _solve(
    epsilon_at: Callable[[float], float], target: float, start: float, tolerance: float
) -> float:
    """The z with target · (1 - tolerance) <= price(z) <= target, for a falling price."""
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
    """Two points (z, ε) round the target: one with too little noise, one with enough."""
    point = (start, epsilon_at(start))
    step = 1.15 if start != 1.0 else 2.0  # a start that RDP found is near
    falling = point[1] > target
    while True:
        z = point[0] * (step if falling else 1 / step)
        if falling and z > _LARGEST > point[0]:
            z = _LARGEST
        if not _SMALLEST <= z <= _LARGEST:
            if not falling:  # so little noise is enough already
                return (z, math.inf), point
            raise _infeasible(target, point[1])
        following = (z, epsilon_at(z))
        if (following[1] > target) != falling:
            return (point, following) if falling else (following, point)
        point, step = following, min(2.0, step**2)


def _between(low: tuple[float, float], high: tuple[float, float], aim: float) -> float:
    """Where the chord in (log z, log ε) meets `aim`, kept off the ends so that both sides of the bracket move."""
    (x0, y0), (x1, y1) = ((math.log(z), math.log(max(e, 1e-300))) for z, e in (low, high))
    share = (y0 - aim) / (y0 - y1) if math.isfinite(y0) and y0 > y1 else 0.5
    return math.exp(x0 + min(max(share, 0.02), 0.98) * (x1 - x0))
