import math
from dataclasses import replace

import pytest
from finished_runs import CENTRALIZED, finished
from hypothesis import given
from hypothesis import strategies as st

from ecgexp.analysis import formatting
from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.run_rows import read_row
from ecgexp.analysis.spread import score_of, spread

values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_spread_equals_values_computed_by_hand():
    found = spread([0.5, 0.75, 1.0, 0.25])
    assert (found.mean, found.low, found.high, found.count, found.undefined) == (
        0.625,
        0.25,
        1.0,
        4,
        0,
    )
    assert formatting.score(found).replace("\xa0", " ") == "0.625 (0.250–1.000)"


@given(values)
def test_spread_mean_is_within_its_range(drawn):
    found = spread(drawn)
    assert found.low - 1e-12 <= found.mean <= found.high + 1e-12
    assert (found.low, found.high) == (min(drawn), max(drawn))


@given(values, st.integers(1, 3))
def test_spread_counts_undefined_runs_without_their_values(drawn, missing):
    found = spread([*drawn, *[None] * missing])
    assert found.mean == spread(drawn).mean
    assert found.undefined == missing
    assert f"undefined in {missing} of {missing + len(drawn)}" in formatting.score(found)


def test_spread_without_values_is_undefined():
    found = spread([None, math.nan])
    assert not found.is_defined
    assert math.isnan(found.mean)
    assert formatting.score(found) == "undefined"


def test_spread_of_equal_values_has_no_range():
    assert formatting.score(spread([0.3, 0.3, 0.3])) == "0.300"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-5, "1e-05"),
        (0.4567, "0.457"),
        (7.519, "7.52"),
        (30.0, "30"),
        (12345.0, "12\xa0345"),
        (math.inf, "∞"),
    ],
)
def test_figures_have_three_digits(value, text):
    assert formatting.figure(spread([value])) == text


def row(folder, **more):
    return read_row(find_run(str(finished(folder, params=CENTRALIZED, **more))))


def test_interval_is_given_for_a_single_run_only(tmp_path):
    metrics = {"test/f1/V": 0.5, "test/f1_ci_low/V": 0.25, "test/f1_ci_high/V": 0.75}
    one, two = (row(tmp_path / str(seed), seed=seed, metrics=metrics) for seed in (1, 2))
    assert score_of([one], "test", "f1/V").interval == (0.25, 0.75)
    assert (
        formatting.score(score_of([one], "test", "f1/V")).replace("\xa0", " ")
        == "0.500 [0.250, 0.750]"
    )
    assert score_of([one, two], "test", "f1/V").interval is None


def test_single_run_without_an_interval_has_none(tmp_path):
    assert formatting.score(score_of([row(tmp_path / "1")], "test", "accuracy")) == "0.500"


@pytest.mark.parametrize(
    ("write", "values", "text"),
    [
        (formatting.score, [-0.25, 0.5], "0.125 (-0.250 to 0.500)"),
        (formatting.duration, [60, 80], "70 s (60 s to 80 s)"),
        (formatting.epsilon, [1.0, 2.0], "1.50 (1.00–2.00)"),
    ],
)
def test_range_has_a_dash_between_plain_numbers_only(write, values, text):
    assert write(spread(values)).replace("\xa0", " ") == text


def test_interval_stands_beside_the_range_over_seeds():
    found = replace(spread([0.25, 0.75]), interval=(0.1, 0.9))
    assert formatting.score(found).replace("\xa0", " ") == "0.500 (0.250–0.750) [0.100, 0.900]"
    assert formatting.score_range(found) == "0.500 (0.250–0.750)"
