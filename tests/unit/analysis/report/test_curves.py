import pytest
from finished_runs import CENTRALIZED, finished, guarantee, private

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.report import curves, published
from ecgexp.analysis.report.groups import configurations
from ecgexp.analysis.run_rows import read_row

OTHER_MODEL = {"model._target_": "ecgexp.models.Resnet1d"}


@pytest.fixture
def group(tmp_path):
    """[(params, how)] -> their configurations."""

    def make(*runs):
        made = [
            finished(tmp_path / str(i), params=params, **more)
            for i, (params, more) in enumerate(runs)
        ]
        return configurations([read_row(find_run(str(folder))) for folder in made])

    return make


def test_curve_has_runs_that_differ_in_their_noise_only(group):
    made = group(
        (private(2.0), {"privacy": guarantee(1.5)}),
        (private(0.8), {"privacy": guarantee(7.5)}),
        ({**private(0.8), "privacy.unit": "patient"}, {"privacy": guarantee(40.0, unit="patient")}),
        (CENTRALIZED, {}),
    )
    found = curves.curves(made)
    assert [[one.epsilon.mean for one in curve.configurations] for curve in found] == [
        [1.5, 7.5],
        [40.0],
    ]
    assert [curve.label.partition(",")[0] for curve in found] == [
        "example-level DP",
        "patient-level DP",
    ]


def test_baseline_is_drawn_if_data_split_and_model_agree(group):
    made = group(
        (private(1.0), {"privacy": guarantee(3.0)}),
        (CENTRALIZED, {}),
        ({**CENTRALIZED, **OTHER_MODEL}, {}),
        ({**CENTRALIZED, "split._target_": "ecgexp.data.IntraPatient"}, {}),
        ({**CENTRALIZED, "trainer.learning_rate": 0.5}, {}),
    )
    assert [one.params["trainer.learning_rate"] for one in curves.baselines(made)] == [
        "0.001",
        "0.5",
    ]


def test_of_many_curves_the_best_are_drawn(group):
    made = group(
        *(
            (
                {**private(1.0), "trainer.learning_rate": rate},
                {"privacy": guarantee(3.0), "metrics": {"test/macro_f1": score}},
            )
            for rate, score in enumerate((0.9, 0.1, *[0.5] * (curves.MOST_CURVES - 1)), start=1)
        )
    )
    assert len(curves.curves(made)) == curves.MOST_CURVES + 1
    drawn = curves.best_curves(made, "macro_f1", split="test")
    assert len(drawn) == curves.MOST_CURVES
    rates = [curve.configurations[0].params["trainer.learning_rate"] for curve in drawn]
    assert "1" in rates
    assert "2" not in rates


def test_simulation_is_named_without_guarantee(group):
    made = group((private(1.0), {"privacy": guarantee(3.0, simulation=True)}))
    assert [curve.label for curve in curves.curves(made)] == [
        "simulation, no privacy guarantee, example-level DP"
    ]


def test_guarantee_without_finite_epsilon_is_on_no_curve(group):
    made = group(
        (
            private(1.0),
            {"privacy": {**guarantee(3.0), "epsilon": None}, "metrics": {"test/accuracy": 1.0}},
        )
    )
    assert curves.curves(made) == []


def test_majority_class_is_shown_for_each_database(group):
    def of(value):
        return {"metrics": {"test/accuracy": 0.5, "test/majority/accuracy": value}}

    made = group(
        (CENTRALIZED, of(0.89)),
        ({**CENTRALIZED, "a": 1}, of(0.89)),
        ({**CENTRALIZED, "b": 1}, {**of(0.7), "database": "x"}),
    )
    assert [(found.low, found.high) for found in curves.majorities(made, "test", "accuracy")] == [
        (0.89, 0.89),
        (0.7, 0.7),
    ]


@pytest.mark.parametrize(
    ("databases", "shown"),
    [
        (["mitdb 1.0.0"], True),
        ([], False),
        (["synthetic (virtual patients, seed 0)"], False),
        (["mitdb 1.0.0", "svdb 1.0.0"], False),
        (["mitdbx 1"], False),
        (["mitdb 1.0.0 -> svdb 1.0.0"], False),
        (["svdb 1.0.0 -> mitdb 1.0.0"], False),
        (["mitdb 1.0.0", ""], False),
    ],
)
def test_published_scores_are_shown_for_their_database_only(databases, shown):
    assert published.applies_to(databases) is shown


def test_published_scores_equal_the_publications():
    assert {one.epsilon: one.accuracy for one in published.SPLIT_LAYER} == {
        1: 0.506,
        3: 0.738,
        5: 0.837,
        7: 0.873,
        10: 0.892,
    }
    assert sorted(one.accuracy for one in published.WITHOUT_NOISE) == [0.877, 0.9839, 0.984, 0.9853]
    assert {one.citation for one in (*published.SPLIT_LAYER, *published.WITHOUT_NOISE)} == set(
        published.CITATIONS
    )


def test_curve_points_are_means_with_bars_over_the_seeds(group):
    made = group(
        *(
            (
                private(2.0),
                {"privacy": guarantee(epsilon), "seed": seed, "metrics": {"test/macro_f1": value}},
            )
            for seed, (epsilon, value) in enumerate(((1.0, 0.2), (1.5, 0.3), (2.0, 0.7)))
        ),
        (private(0.5), {"privacy": guarantee(12.0), "metrics": {"test/macro_f1": 0.8}}),
    )
    axes = curves.curve_figure(
        made, "macro_f1", split="test", synthetic=False, references=False
    ).axes[0]
    (bars,) = axes.containers
    points = bars.lines[0]
    assert list(points.get_xdata()) == [1.5, 12.0]
    assert list(points.get_ydata()) == pytest.approx([0.4, 0.8])
    across, along = (
        [segment.tolist() for segment in part.get_segments()] for part in bars.lines[2]
    )
    assert [[x for x, _ in segment] for segment in across] == [
        pytest.approx([1.0, 2.0]),
        pytest.approx([12.0, 12.0]),
    ]
    ends = [[y for _, y in segment] for segment in along]
    assert ends == [pytest.approx([0.2, 0.7]), pytest.approx([0.8, 0.8])]
    assert axes.get_xscale() == "log"


def test_letters_of_close_ticks_do_not_overlap():
    placed = curves._spread_out([0.99, 0.985, 0.984, 0.5], gap=0.02)
    assert placed[0] == 0.99
    assert all(
        above - below >= 0.02 - 1e-12 for above, below in zip(placed, placed[1:], strict=False)
    )
    assert placed[3] == 0.5
