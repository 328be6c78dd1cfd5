"""Figure of the most confident misclassifications, for inspection of labels and noise.

Import this module only where figures are made: it loads matplotlib.
"""

import numpy as np
from matplotlib.figure import Figure

from ecgexp.data.beats import BeatSet
from ecgexp.evaluation.style import BLUE, MUTED, SKY, VERMILION, new_figure, styled
from ecgexp.formatting import score_text


def worst_mistakes(
    labels: np.ndarray,
    probabilities: np.ndarray,
    record_ids: np.ndarray,
    *,
    num_beats: int = 24,
    per_record: int = 4,
) -> np.ndarray:
    """Return indices of the misclassified beats with the highest probability, worst first.

    Args:
      labels: (n,) int class index.
      probabilities: (n, classes).
      record_ids: (n,) str.
      num_beats: At most so many.
      per_record: At most so many of one record, since one bad record would otherwise fill the
        figure.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    # Among beats given probability 1, those whose true class got least come first.
    order = np.lexsort((probabilities[wrong, labels[wrong]], -probabilities[wrong].max(axis=1)))
    taken: dict[str, int] = {}
    chosen = []
    for index in wrong[order]:
        record = str(record_ids[index])
        if taken.get(record, 0) < per_record and len(chosen) < num_beats:
            taken[record] = taken.get(record, 0) + 1
            chosen.append(index)
    return np.array(chosen, np.int64)


def strip_beats(
    labels: np.ndarray,
    probabilities: np.ndarray,
    patient_ids: np.ndarray,
    *,
    num_beats: int = 8,
) -> np.ndarray:
    """Return indices of misclassified beats to look at in their context, of different patients.

    The first half has the most confident mistake of each of the patients with the lowest accuracy;
    the others are the most confident mistakes of further patients.

    Args:
      labels: (n,) int class index.
      probabilities: (n, classes).
      patient_ids: (n,) str.
      num_beats: At most so many.
    """
    worst_of_each = worst_mistakes(
        labels, probabilities, patient_ids, num_beats=len(labels), per_record=1
    )
    right = probabilities.argmax(axis=1) == labels
    accuracy = [right[patient_ids == patient_ids[index]].mean() for index in worst_of_each]
    by_accuracy = worst_of_each[np.argsort(accuracy, kind="stable")][: num_beats // 2]
    others = worst_of_each[~np.isin(worst_of_each, by_accuracy)]
    return np.concatenate([by_accuracy, others])[:num_beats]


@styled
def mistakes_figure(
    beats: BeatSet,
    probabilities: np.ndarray,
    *,
    source: str,
    record_fs_hz: float | None = None,
    num_beats: int = 24,
    per_record: int = 4,
) -> Figure:
    """Draw the windows of the most confident misclassifications, in their units.

    Args:
      beats: The scored beats, with labels.
      probabilities: (num_beats, classes), one row a beat.
      source: Which data, e.g. `"mitdb 1.0.0, test"`.
      record_fs_hz: Sampling frequency of the records as published, in which `r_samples` count; None
        where unknown, and then the sample is named instead of the time.
      num_beats: At most so many panels.
      per_record: At most so many of one record.
    """
    chosen = worst_mistakes(
        beats.labels, probabilities, beats.record_ids, num_beats=num_beats, per_record=per_record
    )
    columns = 6
    rows = max(1, -(-len(chosen) // columns))
    title = (
        f"The {len(chosen)} most confident misclassifications, at most {per_record} per record"
        if len(chosen)
        else "No misclassifications"
    )
    figure = new_figure(12, 0.9 + 1.75 * rows, title=title, source=source)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True).ravel()
    milliseconds = np.arange(beats.signals_mv.shape[1]) / beats.fs_hz * 1000
    for axes, index in zip(panels, chosen, strict=False):
        predicted = probabilities[index].argmax()
        for lead in reversed(range(len(beats.lead_names))):  # the first lead is drawn last, on top
            axes.plot(
                milliseconds,
                beats.signals_mv[index, :, lead],
                color=BLUE if lead == 0 else SKY,
                linewidth=1.1,
            )
        names = f"{beats.class_names[beats.labels[index]]} → {beats.class_names[predicted]}"
        axes.set_title(
            f"{names}  p = {_short(float(probabilities[index, predicted]))}",
            fontsize=9,
            color=VERMILION,
            pad=13,
        )
        place = (
            f"{beats.record_ids[index]}, row {beats.r_samples[index]}"
            if beats.cut_elsewhere
            else _place(beats.record_ids[index], beats.r_samples[index], record_fs_hz)
        )
        axes.text(0.5, 1.02, place, transform=axes.transAxes, ha="center", fontsize=7, color=MUTED)
        axes.grid(visible=True)
    for axes in panels[len(chosen) :]:
        axes.set_visible(False)
    figure.supxlabel(
        f"ms from the start of the window; true → predicted class; {_leads(beats)}", fontsize=9
    )
    figure.supylabel("mV" if beats.units == "mV" else "units of the file", fontsize=9)
    return figure


def _place(record_id: str, r_sample: int, fs_hz: float | None) -> str:
    if fs_hz is None:
        return f"record {record_id}, sample {r_sample}"
    minutes, seconds = divmod(r_sample / fs_hz, 60)
    return f"record {record_id}, {int(minutes)}:{seconds:04.1f}"


def _leads(beats: BeatSet) -> str:
    first, *rest = beats.lead_names
    return f"{first} dark, {', '.join(rest)} light" if rest else first


def _short(probability: float) -> str:
    return "> 0.999" if probability > 0.999 else score_text(probability)
