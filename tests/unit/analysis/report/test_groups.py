import random

import pytest
from finished_runs import CENTRALIZED, finished, guarantee, private
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.report import groups
from ecgexp.analysis.report.groups import configurations, distinguishing_labels, varying
from ecgexp.analysis.run_rows import read_row
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.tracking.params import loggable, parameters


@pytest.fixture
def row(tmp_path):
    """(params, …) -> the row of a finished run with them."""

    def make(params, **more):
        return read_row(
            find_run(
                str(finished(tmp_path / str(len(list(tmp_path.iterdir()))), params=params, **more))
            )
        )

    return make


def test_runs_that_differ_in_their_seed_are_one_configuration(row):
    made = configurations([row(CENTRALIZED, seed=seed) for seed in (10, 9, 0)])
    assert [[run.seed for run in one.rows] for one in made] == [["0", "9", "10"]]
    assert made[0].values == {}


@pytest.mark.parametrize(
    "name",
    [
        "tracking.uri",
        "tracking.tags.a",
        "data.root",
        "data.cache_dir",
        "dataset.root",
        "dataset.cache_dir",
        "hydra.run.dir",
        "privacy.noise_seed",
        "sweep.retries",
    ],
)
def test_setting_without_effect_separates_no_configuration(row, name):
    made = configurations(
        [row({**CENTRALIZED, name: value}, seed=seed) for seed, value in enumerate(("a", "b"))]
    )
    assert len(made) == 1


@pytest.mark.parametrize(
    "name", ["dataset.seed", "dataset.num_patients", "privacy.unit", "model.seeds", "database.root"]
)
def test_every_other_parameter_separates_configurations(row, name):
    made = configurations([row({**CENTRALIZED, name: value}) for value in ("1", "2")])
    assert [dict(one.values) for one in made] == [{name: "1"}, {name: "2"}]


def test_parameters_that_make_curves_are_logged_by_runs():
    """A setting that is renamed would silently mix curves, or match any baseline."""

    def logged(*overrides):
        return loggable(parameters(for_the_record(load_config(list(overrides)))))

    names = logged("trainer=dp", "privacy=dp")
    assert {*groups._STRENGTH, *groups._IGNORED} <= names.keys()
    for group in groups._SET_UP:
        assert any(name.startswith(group) for name in names), group
    assert any(
        name.startswith(groups._PROTOCOL_ERROR) for name in logged("experiment=replication/central")
    )


def test_runs_on_other_beats_are_another_configuration(row):
    assert len(configurations([row(CENTRALIZED, digest=digest) for digest in ("d1", "d2")])) == 2


def test_configurations_are_ordered_by_increasing_privacy(row):
    rows = [
        row(private(2.0), privacy=guarantee(1.5)),
        row(private(0.8), privacy=guarantee(7.5)),
        row(CENTRALIZED),
        row(
            {**private(0.8), "privacy.noise_seed": 1, "privacy.l2_norm_clip": 2},
            privacy=guarantee(7.5, simulation=True),
        ),
        row(private(1.2), privacy=guarantee(3.0)),
    ]
    made = configurations(rows)
    assert [one.number for one in made] == [1, 2, 3, 4, 5]
    assert [one.guarantee for one in made] == [
        "none",
        "simulation",
        "private",
        "private",
        "private",
    ]
    assert [one.epsilon.mean for one in made[2:]] == [7.5, 3.0, 1.5]


def test_columns_are_varying_parameters_with_targets_first():
    params = [
        {"a.x": "1", "privacy.noise": "0.8", "b": "same", "privacy._target_": "p.Dp"},
        {"a.x": "2", "privacy.noise": "1.0", "b": "same", "privacy._target_": "p.Dp"},
        {"a.x": "2", "b": "same", "privacy._target_": "p.None"},
    ]
    assert varying(params) == ["privacy._target_", "a.x", "privacy.noise"]


def test_parameter_of_one_target_only_is_rarely_a_column():
    kinds = [{"t._target_": "A", "t.only": "1"}, {"t._target_": "B"}]
    assert varying(kinds) == ["t._target_"]
    assert varying([{"t.only": "1"}, {}]) == ["t.only"]


def test_labels_use_the_fewest_distinguishing_values():
    private = [
        {"trainer._target_": "e.Dp", "privacy.noise": noise, "trainer.rate": "0.25"}
        for noise in ("0.8", "2.0")
    ]
    central = {"trainer._target_": "e.Central", "trainer.rate": "0.001"}
    assert distinguishing_labels([*private, central]) == [
        "noise 0.8",
        "noise 2.0",
        "trainer Central",
    ]
    faster = central | {"trainer.rate": "0.1"}
    assert distinguishing_labels([central, faster]) == ["rate 0.001", "rate 0.1"]
    assert distinguishing_labels([central]) == [""]
    assert distinguishing_labels([{"a.b": "None"}, {"a.b": "3"}, {}]) == [
        "b None",
        "b 3",
        "b not there",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b.x", "b._target_", "c"]),
            st.sampled_from(["1", "2", "None"]),
            max_size=4,
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda part: tuple(sorted(part.items())),
    )
)
def test_columns_distinguish_any_configurations(params):
    names = varying(params)
    assert len({tuple(part.get(name) for name in names) for part in params}) == len(params)
    shuffled = list(params)
    random.Random(0).shuffle(shuffled)
    assert set(varying(shuffled)) == set(names)
