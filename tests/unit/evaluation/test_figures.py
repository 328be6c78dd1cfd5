import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from ecgexp.data.beats import BeatSet
from ecgexp.evaluation.confusion import count_confusion
from ecgexp.evaluation.figures import (
    confusion_figure,
    learning_curves_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)
from ecgexp.evaluation.gallery import mistakes_figure, worst_mistakes


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def beats_of(predictions, source="mitdb 1.0.0", leads=("MLII", "V1")) -> BeatSet:
    rows = len(predictions.labels)
    return BeatSet(
        signals_mv=np.random.default_rng(0).normal(size=(rows, 90, len(leads))).astype(np.float32),
        rr=np.zeros((rows, 4), np.float32),
        symbols=np.array(["N"] * rows),
        record_ids=predictions.record_ids,
        patient_ids=predictions.patient_ids,
        r_samples=np.arange(rows) * 250,
        fs_hz=180.0,
        lead_names=leads,
        database=source,
        digest="0",
        labels=predictions.labels,
        class_names=predictions.class_names,
    )


def all_figures(predictions, source):
    labels, probabilities, names = (
        predictions.labels,
        predictions.probabilities,
        predictions.class_names,
    )
    confusion = count_confusion(labels, predictions.predicted, num_classes=5)[0]
    return [
        confusion_figure(confusion, names, source=source),
        roc_figure(labels, probabilities, names, source=source),
        precision_recall_figure(labels, probabilities, names, source=source),
        reliability_figure(labels, probabilities, source=source),
        learning_curves_figure({"train/loss": [0.5, 0.3]}, source=source),
        mistakes_figure(beats_of(predictions), probabilities, source=source),
    ]


def test_figures_name_their_data_and_can_be_saved(predictions, tmp_path):
    for i, figure in enumerate(all_figures(predictions, "mitdb 1.0.0, DS2")):
        assert "mitdb 1.0.0, DS2" in figure.get_suptitle()
        assert "synthetic" not in texts(figure)
        figure.savefig(tmp_path / f"{i}.png")
        assert matplotlib.image.imread(tmp_path / f"{i}.png")[..., :3].std() > 0.01


def test_figures_of_synthetic_data_are_marked(predictions):
    for figure in all_figures(predictions, "synthetic 12 patients, test"):
        assert "synthetic" in texts(figure)


def test_figures_do_not_change_settings_of_matplotlib(predictions):
    before = dict(matplotlib.rcParams)
    all_figures(predictions, "mitdb")
    assert dict(matplotlib.rcParams) == before
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_confusion_matrix_shows_counts_and_fractions():
    shown = texts(confusion_figure(np.array([[1500, 500], [0, 1]]), ("N", "V"), source="x"))
    assert {
        "1\N{NO-BREAK SPACE}500\n75.0\N{NO-BREAK SPACE}%",
        "500\n25.0\N{NO-BREAK SPACE}%",
        "1\n100.0\N{NO-BREAK SPACE}%",
    } <= set(shown)
    assert "N\n2\N{NO-BREAK SPACE}000" in shown


def test_class_without_beats_is_labeled_undefined(predictions):
    without_q = np.where(predictions.labels == 4, 0, predictions.labels)
    for make in (roc_figure, precision_recall_figure):
        figure = make(without_q, predictions.probabilities, predictions.class_names, source="x")
        assert "Q: undefined, 0 of 6\N{NO-BREAK SPACE}000 beats" in texts(figure)


def test_learning_curves_skip_unmeasured_steps():
    history = {
        "train/loss": [3.0, 2.0, 1.0],
        "validation/loss": [3.0, float("nan"), 2.0],
        "train/lr": [1, 1, 1],
    }
    figure = learning_curves_figure(history, source="x", step_name="round", best_step=3)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["validation"].get_xdata().tolist() == [1, 3]
    assert lines["train"].get_xdata().tolist() == [1, 2, 3]
    assert "selected: round 3" in lines


def test_learning_curves_do_not_zoom_into_noise():
    history = {
        "validation/accuracy": [0.912, 0.911, 0.913],
        "validation/macro_f1": [0.9990, 0.9995, 0.9992],
        "train/loss": [2.001, 2.000, 2.002],
    }
    figure = learning_curves_figure(history, source="x")
    heights = {axes.get_title(): axes.get_ylim() for axes in figure.axes}
    assert np.diff(heights["accuracy"]) == pytest.approx(0.1)
    assert np.diff(heights["macro F1"]) == pytest.approx(0.1)
    assert heights["macro F1"][1] == pytest.approx(1.002)
    assert np.diff(heights["loss"]) == pytest.approx(0.4, rel=0.01)


def test_learning_curves_differ_without_color():
    history = {f"{split}/loss": [2.0, 1.0] for split in ("train", "validation")}
    (axes,) = learning_curves_figure(history, source="x").axes
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.get_lines()}) == 2


def test_gallery_has_the_worst_errors_of_several_records():
    labels = np.array([0, 0, 0, 1, 1, 0])
    first = np.array([0.15, 0.2, 0.05, 0.9, 0.99, 0.8])  # all but the last are wrong
    records = np.array(["a", "a", "a", "b", "b", "b"])
    probabilities = np.column_stack([first, 1 - first])
    assert worst_mistakes(labels, probabilities, records).tolist() == [4, 2, 3, 0, 1]
    assert worst_mistakes(labels, probabilities, records, per_record=1).tolist() == [4, 2]
    assert worst_mistakes(labels, probabilities, records, num_beats=3).tolist() == [4, 2, 3]


def test_gallery_names_classes_record_and_time(predictions):
    beats = beats_of(predictions)
    worst = worst_mistakes(predictions.labels, predictions.probabilities, predictions.record_ids)[0]
    minutes, seconds = divmod(beats.r_samples[worst] / 360, 60)
    shown = texts(mistakes_figure(beats, predictions.probabilities, source="x", record_fs_hz=360))
    assert f"record {beats.record_ids[worst]}, {int(minutes)}:{seconds:04.1f}" in shown
    names = predictions.class_names
    expected = f"{names[predictions.labels[worst]]} → {names[predictions.predicted[worst]]}"
    assert any(text.startswith(expected) for text in shown)
    unknown = texts(mistakes_figure(beats, predictions.probabilities, source="x"))
    assert f"record {beats.record_ids[worst]}, sample {beats.r_samples[worst]}" in unknown


@pytest.mark.parametrize("leads", [("MLII",), ("MLII", "V1")])
def test_gallery_without_errors_is_a_figure(predictions, tmp_path, leads):
    perfect = np.eye(5)[predictions.labels]
    figure = mistakes_figure(beats_of(predictions, leads=leads), perfect, source="x")
    figure.savefig(tmp_path / "gallery.png")
    assert figure.get_suptitle().startswith("No misclassifications")
