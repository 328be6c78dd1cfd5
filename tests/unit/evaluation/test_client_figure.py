import math

import matplotlib
import numpy as np
import pytest

from ecgexp.evaluation.client_figure import comparison_figure, per_client_figure


def client(name, accuracy, *, beats=100, trained=True, majority=0.5):
    return {
        "client": name,
        "beats": beats,
        "in_training": trained,
        "accuracy": accuracy,
        "majority_accuracy": majority,
    }


def compared(name, *, trained=True, tested=True, **known):
    row = {
        "client": name,
        "in_training": trained,
        "train_beats": 70 * trained,
        "test_beats": 30 * tested,
        "largest_class_share": 0.6 if tested else math.nan,
        "global_accuracy": 0.8 if tested else math.nan,
    }
    return row | known


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_client_has_a_dot_a_baseline_and_its_beats():
    rows = [
        client("106", 0.6, beats=1500, trained=False),
        client("101", 0.8, majority=0.9),
        client("100", 1.0),
    ]
    (axes,) = per_client_figure(rows, majority_class="N", source="x").axes
    drawn = lines(axes)
    assert names(axes) == ["106", "101", "100"]
    assert axes.yaxis_inverted()  # the first row, the worst, at the top
    assert (drawn["trained on"].get_xdata().tolist(), drawn["trained on"].get_ydata().tolist()) == (
        [0.8, 1.0],
        [1, 2],
    )
    assert drawn["new client, not in training"].get_xdata().tolist() == [0.6]
    assert drawn["majority-class baseline (N)"].get_xdata().tolist() == [0.5, 0.9, 0.5]
    assert drawn["mean 0.800"].get_xdata()[0] == pytest.approx(0.8)
    assert [text.get_text() for text in axes.texts] == [
        "1\N{NO-BREAK SPACE}500",
        "100",
        "100",
        "beats",
    ]


def test_legend_has_no_new_clients_if_there_are_none():
    (axes,) = per_client_figure([client("100", 1.0)], majority_class="N", source="x").axes
    assert not [label for label in lines(axes) if "new" in label]


@pytest.mark.parametrize("num_clients", [1, 50, 81, 400])
def test_any_number_of_clients_makes_a_figure_of_bounded_size(num_clients, tmp_path):
    rows = [client(f"c{i:03d}", i / num_clients) for i in range(num_clients)]
    beside = [
        compared(row["client"], local_only_accuracy=0.5, local_only_test_accuracy=0.4)
        for row in rows
    ]
    for figure in (
        per_client_figure(rows, majority_class="N", source="synthetic 1"),
        comparison_figure(beside, {"global": 0.8}, source="synthetic 1"),
    ):
        figure.savefig(tmp_path / "clients.png")
        assert matplotlib.image.imread(tmp_path / "clients.png")[..., :3].std() > 0.01
        assert figure.get_size_inches()[1] < 20
        assert "synthetic" in [text.get_text() for text in figure.texts]
        assert all(len(axes.get_yticks()) <= 80 for axes in figure.axes)


def test_names_of_fifty_clients_do_not_overlap():
    figure = per_client_figure(
        [client(f"c{i:03d}", i / 50) for i in range(50)], majority_class="N", source="x"
    )
    figure.canvas.draw()
    boxes = np.array(
        [label.get_window_extent().extents for label in figure.axes[0].get_yticklabels()]
    )
    tops, bottoms = np.sort(boxes[:, 3]), np.sort(boxes[:, 1])
    assert (bottoms[1:] >= tops[:-1]).all()


def test_models_of_a_client_are_drawn_in_one_row():
    rows = [
        compared(
            "a",
            global_accuracy=0.9,
            local_only_accuracy=0.7,
            personalized_accuracy=0.95,
            local_only_test_accuracy=0.5,
        ),
        compared(
            "b",
            global_accuracy=0.6,
            local_only_accuracy=0.8,
            personalized_accuracy=0.85,
            local_only_test_accuracy=0.4,
        ),
    ]
    own, everywhere = comparison_figure(rows, {"global": 0.75, "pooled": 0.85}, source="x").axes
    drawn = lines(own)
    assert names(own) == ["b", "a"]
    assert drawn["global"].get_xdata().tolist() == [0.6, 0.9]
    assert drawn["local only"].get_xdata().tolist() == [0.8, 0.7]
    assert drawn["personalized"].get_xdata().tolist() == [0.85, 0.95]
    assert "pooled" not in drawn
    assert lines(everywhere)["local only"].get_xdata().tolist() == [0.4, 0.5]
    assert {"global, on all test beats: 0.750", "pooled, on all test beats: 0.850"} <= set(
        lines(everywhere)
    )


def test_untested_and_new_clients_are_drawn_where_scored():
    rows = [
        compared(
            "new",
            trained=False,
            pooled_accuracy=0.9,
            local_only_accuracy=math.nan,
            local_only_test_accuracy=math.nan,
        ),
        compared(
            "old",
            tested=False,
            pooled_accuracy=math.nan,
            local_only_accuracy=math.nan,
            local_only_test_accuracy=0.3,
        ),
    ]
    own, everywhere = comparison_figure(rows, {"global": 0.8, "pooled": math.nan}, source="x").axes
    assert names(own) == ["new (new)"]
    assert names(everywhere) == ["old"]
    assert "local only" not in lines(own)
    assert not [label for label in lines(everywhere) if label.startswith("pooled")]


def test_panel_without_clients_is_left_out():
    (own,) = comparison_figure(
        [compared("a", pooled_accuracy=0.9)], {"global": 0.8, "pooled": 0.9}, source="x"
    ).axes
    assert own.get_title() == "on the client's own test beats: 1 client"
