"""Whether one of two models is right more often than the other on the same beats: two tests of that.

McNemar's takes beats for independent, as most publications do; the sign-flip test knows that they come in patients.
"""

from dataclasses import dataclass

import numpy as np

EXACT_BELOW = 25  # beats on which the models disagree; from here on chi-square is close enough


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """McNemar's test (1947) of "each is right where the other is wrong equally often".

    Attributes:
      both_right: beats that both models got right.
      only_a_right: beats that A alone got right.
      only_b_right: beats that B alone got right.
      both_wrong: beats that neither got right.
      method: `exact` (binomial), or `chi-square` with continuity correction.
      statistic: chi-square with one degree of freedom; None for the exact test.
      p_value: two-sided; too small where beats come in patients.
    """

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    method: str
    statistic: float | None
    p_value: float


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """McNemar's test on (n,) bools: whether A, and whether B, got each beat right.

    Exact below `EXACT_BELOW` beats on which they disagree, else (|b − c| − 1)² / (b + c) against chi-square.
    """
    from scipy import stats

    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    disagreeing, statistic = only_a + only_b, None
    if not disagreeing:
        p_value = 1.0
    elif disagreeing < EXACT_BELOW:
        p_value = float(stats.binomtest(only_a, disagreeing).pvalue)
    else:
        # The correction moves the difference towards 0 and not past it (Edwards 1948; R does the same).
        statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / disagreeing
        p_value = float(stats.chi2.sf(statistic, df=1))
    return McNemar(
        both_right=int((right_a & right_b).sum()), only_a_right=only_a, only_b_right=only_b,
        both_wrong=int((~right_a & ~right_b).sum()), method="exact" if statistic is None else "chi-square",
        statistic=statistic, p_value=p_value,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """An exact permutation test over patients: had A and B been swapped for some of them, how often is B − A as large?

    Attributes:
      better: patients of whom B gets more beats right than A.
      worse: patients of whom A does.
      equal: patients of whom both get equally many.
      p_value: two-sided and exact.
      smallest_p_value: what so few patients allow at best.
    """

    better: int
    worse: int
    equal: int
    p_value: float
    smallest_p_value: float


def sign_flip_test(right_a: np.ndarray, right_b: np.ndarray, patients: np.ndarray) -> SignFlip:
    """Tests the difference of accuracies by giving each patient's difference either sign (Fisher 1935).

    Beats of one patient stay together, so nothing is assumed about their dependence; only that, if the models are equally
    good, a patient is as likely to favour A as to favour B by so many beats. The statistic is the number of beats that B has
    right beyond A, over all patients; its distribution over all 2^patients assignments is summed up without listing them.

    Args:
      right_a: (n,) bool, whether A got each beat right.
      right_b: (n,) bool, whether B did.
      patients: (n,) the patient of each beat.
    """
    _, groups = np.unique(patients, return_inverse=True)
    gains = np.bincount(groups[right_b], minlength=groups.max() + 1)
    gains = gains - np.bincount(groups[right_a], minlength=groups.max() + 1)
    moved = gains[gains != 0]
    return SignFlip(
        better=int((gains > 0).sum()), worse=int((gains < 0).sum()), equal=int((gains == 0).sum()),
        p_value=_two_sided(moved), smallest_p_value=float(min(1.0, 2.0 ** (1 - len(moved)))),
    )  # fmt: skip


def _two_sided(gains: np.ndarray) -> float:
    """The probability that |Σ ± gains| is at least |Σ gains|, each sign being a fair coin; whole numbers tie exactly."""
    reach = int(np.abs(gains).sum())
    chances = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    chances[reach] = 1.0
    for size in np.abs(gains).tolist():
        halves, chances = chances / 2, np.zeros_like(chances)
        chances[size:] += halves[
            : len(halves) - size
        ]  # no sum leaves the array: its ends are reached by all together
        chances[: len(halves) - size] += halves[size:]
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(gains.sum()))
    return float(min(1.0, chances[far].sum()))
