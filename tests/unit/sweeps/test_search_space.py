"""Overrides with several values as Optuna's distributions, and back as overrides of a job."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ecgexp.settings.declaration import ConfigError
from ecgexp.sweeps.search_space import search_space


def space(*overrides):
    return search_space(overrides, OverridesParser.create(config_loader=None))


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ("interval(0.1, 0.5)", FloatDistribution(0.1, 0.5)),
        ("interval(1, 5)", FloatDistribution(1.0, 5.0)),
        ("tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("int(interval(1, 5))", IntDistribution(1, 5)),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("range(2, 9, 3)", IntDistribution(2, 8, step=3)),
        ("range(0.5, 1.1, 0.2)", FloatDistribution(0.5, 0.9 + 0.2, step=0.2)),
        ("choice(1, 2.5, true, a)", CategoricalDistribution((1, 2.5, True, "a"))),
        ("a,b", CategoricalDistribution(("a", "b"))),
    ],
)
def test_override_with_values_is_its_distribution(values, distribution):
    (found,) = space(f"x.y={values}").distributions.values()
    if isinstance(distribution, FloatDistribution) and distribution.step:
        assert (found.low, found.high, found.step) == pytest.approx(
            (distribution.low, distribution.high, distribution.step)
        )
    else:
        assert found == distribution


def test_trial_has_its_values_and_the_shared_overrides():
    found = space("trainer=dp", "a=interval(0.0, 1.0)", "+b=choice(true,[1,2])")
    job = found.overrides({"a": 1e-07, "+b": "[1,2]"})
    assert job == ("a=1e-07", "+b=[1,2]", "trainer=dp")


def test_combinations_are_the_product_of_all_values():
    found = space("a=range(1,3)", "b=x,y").combinations()
    assert found == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("trainer=dp",), r"hydra/sweeper: .*use e\.g\. 'trainer\.learning_rate="),
        (("a=range(3,3)",), r"a=range\(3,3\): .*use an interval or range that has values"),
        (("a=interval(2.0, 1.0)",), r"a=interval.*use an interval or range that has values"),
    ],
)
def test_search_space_without_values_is_rejected(overrides, message):
    with pytest.raises(ConfigError, match=message):
        space(*overrides)


def test_grid_over_an_interval_is_rejected():
    with pytest.raises(ConfigError, match=r"sampler=grid .* a=interval.*use choice"):
        space("a=interval(0.1, 0.5)").combinations()


@pytest.mark.parametrize(
    ("params", "is_inside"),
    [
        ({"a": 0.5, "b": "x"}, True),
        ({"a": 1.5, "b": "x"}, False),
        ({"a": 0.5, "b": "z"}, False),
        ({"a": 0.5}, False),
        ({"a": 0.5, "b": "x", "c": 1}, False),
    ],
)
def test_values_of_another_space_are_noticed(params, is_inside):
    assert space("a=interval(0.0, 1.0)", "b=x,y").contains(params) is is_inside
