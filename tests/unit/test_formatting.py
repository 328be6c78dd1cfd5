"""Numbers are displayed in one way: three decimals of a score, blanks that do not break."""

import math

import pytest

from ecgexp.formatting import (
    count_text,
    difference_text,
    duration_text,
    number_text,
    p_value_text,
    percent_text,
    score_text,
    significant_text,
)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (score_text, 0.8124, "0.812"),
        (score_text, 1.0, "1.000"),
        (score_text, math.nan, "–"),
        (score_text, None, "–"),
        (difference_text, -0.0124, "−0.012"),
        (difference_text, 0.000213, "0.0002"),
        (difference_text, -0.00000042, "−0.0000004"),
        (difference_text, 0.0, "0.000"),
        (difference_text, math.nan, "–"),
        (significant_text, 0.01234, "0.0123"),
        (significant_text, 1.2, "1.2"),
        (significant_text, 1e-5, "1e-05"),
        (significant_text, 124.6, "125"),
        (significant_text, 999.7, "1\N{NO-BREAK SPACE}000"),
        (significant_text, -12500.0, "-12\N{NO-BREAK SPACE}500"),
        (significant_text, math.inf, "∞"),
        (significant_text, None, "–"),
        (count_text, 999, "999"),
        (count_text, 1234567, "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567"),
        (percent_text, 0.125, "12.5\N{NO-BREAK SPACE}%"),
        (percent_text, 0.0004, "<\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"),
        (p_value_text, 0.0312, "0.031"),
        (p_value_text, 0.00002, "below 0.0001"),
        (duration_text, 80.7, "81\N{NO-BREAK SPACE}s"),
        (duration_text, 1320.0, "22\N{NO-BREAK SPACE}min"),
    ],
)
def test_number_is_displayed_in_one_form(write, value, text):
    assert write(value) == text


def test_undefined_score_is_named():
    assert score_text(math.nan, undefined="diverged") == "diverged"


@pytest.mark.parametrize(
    ("count", "what", "text"),
    [(1, "job", "1 job"), (0, "job", "0 jobs"), (2, "class", "2 classes"), (1, "class", "1 class")],
)
def test_one_of_a_kind_has_no_plural(count, what, text):
    assert number_text(count, what) == text
