"""Two tests of equal accuracy of two models on the same beats.

McNemar's test assumes independent beats, as most publications do; the sign-flip test accounts for
the dependence between beats of one patient.
"""

from dataclasses import dataclass

import numpy as np

EXACT_BELOW = 25  # beats on which the models disagree; with more, chi-square is accurate enough


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Result of McNemar's test (1947) of equal error rates.

    Attributes:
      both_right: Beats that both models predict correctly.
      only_a_right: Beats that only A predicts correctly.
      only_b_right: Beats that only B predicts correctly.
      both_wrong: Beats that neither predicts correctly.
      method: `exact` (binomial), or `chi-square` with continuity correction.
      statistic: Chi-square with one degree of freedom; None for the exact test.
      p_value: Two-sided; too small if beats of one patient are dependent.
    """

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    method: str
    statistic: float | None
    p_value: float


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """Apply McNemar's test.

    It is exact below `EXACT_BELOW` beats on which the models disagree; otherwise
    (|b − c| − 1)² / (b + c) is compared with the chi-square distribution.

    Args:
      right_a: (num_beats,) bool, True for beats that A predicts correctly.
      right_b: (num_beats,) bool, the same for B.

    Returns:
      The result.

    Example:
      >>> right_a = np.array([True] * 8 + [False] * 2)
      >>> right_b = np.array([True] * 2 + [False] * 6 + [True] * 2)
      >>> found = mcnemar(right_a, right_b)
      >>> found.only_a_right, found.only_b_right, round(found.p_value, 3)
      (6, 2, 0.289)
    """
    from scipy import stats

    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    disagreeing, statistic = only_a + only_b, None
    if not disagreeing:
        p_value = 1.0
    elif disagreeing < EXACT_BELOW:
        p_value = float(stats.binomtest(only_a, disagreeing).pvalue)
    else:
        # The correction moves the difference towards 0 but not beyond (Edwards 1948; as in R).
        statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / disagreeing
        p_value = float(stats.chi2.sf(statistic, df=1))
    return McNemar(
        both_right=int((right_a & right_b).sum()),
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong=int((~right_a & ~right_b).sum()),
        method="exact" if statistic is None else "chi-square",
        statistic=statistic,
        p_value=p_value,
    )


@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """Result of an exact permutation test over patients.

    Attributes:
      better: Patients with more correct predictions of B than of A.
      worse: Patients with more correct predictions of A than of B.
      equal: Patients with equally many.
      p_value: Two-sided and exact.
      smallest_p_value: Smallest possible value with this number of patients.
    """

    better: int
    worse: int
    equal: int
    p_value: float
    smallest_p_value: float


def sign_flip_test(right_a: np.ndarray, right_b: np.ndarray, patients: np.ndarray) -> SignFlip:
    """Test the difference of accuracies by flipping signs of patients' differences (Fisher 1935).

    Beats of one patient are kept together, so that no assumption on their dependence is made. The
    null hypothesis is that the difference of a patient is equally likely to have either sign. The
    statistic is the number of correct predictions of B minus that of A, over all patients; its
    distribution over all 2^patients assignments of signs is computed without enumerating them.

    Args:
      right_a: (num_beats,) bool, True for beats that A predicts correctly.
      right_b: (num_beats,) bool, the same for B.
      patients: (num_beats,) str, the patient of each beat.

    Returns:
      The result.

    Example:
      >>> right_a, patients = np.zeros(6, bool), np.array(list("abcdef"))
      >>> found = sign_flip_test(right_a, ~right_a, patients)
      >>> found.better, found.p_value  # 2 of the 2^6 signs are as extreme
      (6, 0.03125)
    """
    _, groups = np.unique(patients, return_inverse=True)
    gains = np.bincount(groups[right_b], minlength=groups.max() + 1)
    gains = gains - np.bincount(groups[right_a], minlength=groups.max() + 1)
    moved = gains[gains != 0]
    return SignFlip(
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
        equal=int((gains == 0).sum()),
        p_value=_two_sided(moved),
        smallest_p_value=float(min(1.0, 2.0 ** (1 - len(moved)))),
    )


def _two_sided(gains: np.ndarray) -> float:
    """Return the probability that |Σ ± gains| is at least |Σ gains|, with random signs.

    Sums are integers, so that ties are exact.
    """
    reach = int(np.abs(gains).sum())
    chances = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    chances[reach] = 1.0
    for size in np.abs(gains).tolist():
        halves, chances = chances / 2, np.zeros_like(chances)
        # No sum is outside the array: its ends are the sums of all gains with equal signs.
        chances[size:] += halves[: len(halves) - size]
        chances[: len(halves) - size] += halves[size:]
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(gains.sum()))
    return float(min(1.0, chances[far].sum()))
