"""An ε is never written smaller than it is."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgexp.formatting import epsilon_text


@pytest.mark.parametrize(
    ("value", "two_decimals", "three_digits"),
    [
        (2.1245, "2.13", "2.13"),
        (2.0, "2.00", "2.00"),
        (2.9995, "3.00", "3.00"),
        (0.6144, "0.62", "0.615"),
        (999.2, "999.20", "1\N{NO-BREAK SPACE}000"),
        (1234.2, "1234.20", "1\N{NO-BREAK SPACE}235"),
        (1e-5, "0.01", "1e-05"),
        (1.2345e7, "1.24e+7", "1.24e+7"),
        (0.0, "0.00", "0"),
        (math.inf, "∞", "∞"),
        (None, "–", "–"),
        (math.nan, "–", "–"),
    ],
)
def test_epsilon_text_rounds_up(value, two_decimals, three_digits):
    assert epsilon_text(value, decimals=2) == two_decimals
    assert epsilon_text(value) == three_digits


@given(
    st.floats(1e-12, 1e15),
    st.sampled_from([{}, {"decimals": 2}, {"decimals": 3}, {"digits": 4}, {"digits": 2}]),
)
def test_epsilon_text_is_never_below_the_value(value, form):
    written = Decimal(epsilon_text(value, **form).replace("\N{NO-BREAK SPACE}", ""))
    assert (
        Decimal(repr(value)) <= written <= Decimal(repr(value)) * Decimal("1.1") + Decimal("0.01")
    )
