import matplotlib
import numpy as np
import pytest

from ecgexp.evaluation.partition_figure import partition_figure

NAMES = ("N", "S")
COUNTS = {
    "train": {"101": {"N": 1500, "S": 3}, "106": {"N": 20, "S": 0}},
    "validation": {},
    "test": {"106": {"N": 7, "S": 1}, "100": {"N": 9, "S": 0}},
}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def many(num_clients):
    return {
        "train": {f"client{i:03d}": {"N": i + 1, "S": i % 3} for i in range(num_clients)},
        "validation": {},
        "test": {},
    }


def test_panel_has_the_counts_of_its_split_and_their_sums():
    train, test = panels(partition_figure(COUNTS, NAMES, source="mitdb 1.0.0"))
    assert (train.get_title(), test.get_title()) == ("train: 2 clients", "test: 2 clients")
    assert sorted(texts(train)) == sorted(
        ["1\N{NO-BREAK SPACE}500", "3", "1\N{NO-BREAK SPACE}503", "20", "0", "20"]
    )
    assert sorted(texts(test)) == sorted(["7", "1", "8", "9", "0", "9"])
    labels = [label.get_text() for label in test.get_xticklabels()]
    assert labels == ["N\n16", "S\n1", "all\n17"]


def test_clients_without_training_beats_are_below_a_line():
    train, test = panels(partition_figure(COUNTS, NAMES, source="x"))
    assert [label.get_text() for label in train.get_yticklabels()] == ["101", "106", "100"]
    assert "not in training" in train.get_ylabel()
    assert [line.get_ydata()[0] for line in test.get_lines()] == [1.5]
    seven = next(text for text in test.texts if text.get_text() == "7")
    assert seven.get_position() == (0, 1)


def test_line_is_absent_if_all_clients_have_training_beats():
    (only,) = panels(partition_figure(many(4), NAMES, source="x"))
    assert only.get_lines()[:] == []
    assert only.get_ylabel() == "client"


def test_cells_have_one_logarithmic_color_scale():
    train, test = panels(partition_figure(COUNTS, NAMES, source="x"))
    (first,), (second,) = train.get_images(), test.get_images()
    assert first.norm is second.norm
    assert (first.norm.vmin, first.norm.vmax) == (1, 1500)
    assert first.get_array().mask.tolist() == [[False, False], [False, True], [True, True]]


@pytest.mark.parametrize("num_clients", [1, 2, 50, 81, 400])
def test_any_number_of_clients_makes_a_figure_of_bounded_size(num_clients, tmp_path):
    figure = partition_figure(many(num_clients), NAMES, source="synthetic 1")
    figure.savefig(tmp_path / "partition.png")
    assert matplotlib.image.imread(tmp_path / "partition.png")[..., :3].std() > 0.01
    assert figure.get_size_inches()[1] < 20
    assert "synthetic" in [text.get_text() for text in figure.texts]
    (only,) = panels(figure)
    assert bool(only.texts) == (num_clients <= 80)
    assert len(only.get_yticks()) <= 80
    words = "1 client" if num_clients == 1 else f"{num_clients} clients"
    assert figure.get_suptitle().startswith(f"Beats of each class by client, {words}\n")


def test_numbers_of_neighboring_cells_do_not_touch():
    wide = {
        "train": {f"client{i:02d}": dict.fromkeys("NLRVPA", 75_052) for i in range(50)},
        "validation": {},
        "test": {},
    }
    figure = partition_figure(wide, tuple("NLRVPA"), source="x")
    figure.canvas.draw()
    boxes = np.array([text.get_window_extent().extents for text in panels(figure)[0].texts])
    for left, bottom, right, top in boxes[:14]:
        others = (
            (boxes[:, 0] < right)
            & (boxes[:, 2] > left)
            & (boxes[:, 1] < top)
            & (boxes[:, 3] > bottom)
        )
        assert others.sum() == 1
