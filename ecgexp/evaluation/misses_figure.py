"""The beats of rare classes that a model found and missed, patient by patient."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgexp.evaluation.patient_table import PatientConfusion
from ecgexp.evaluation.style import CLASS_COLORS, FAINT, INK, MUTED, new_figure, styled
from ecgexp.formatting import count_text

_ROW, _HEAD = 0.21, 0.62  # inches of a patient, and of the title of a class


@styled
def misses_figure(found: PatientConfusion, *, source: str) -> Figure:
    """Draw, for each class but the most frequent one, what became of its beats in each patient.

    A bar is all beats of the class in a patient: those that were found, and those that were missed,
    in the color of the class that they were taken for. Beside it stand the numbers, and the beats
    of other classes that were taken for it. Patients with neither are left out.

    Args:
      found: of each patient.
      source: Which data, e.g. `"mitdb 1.0.0, patients left out"`.
    """
    true = found.counts.sum(axis=(0, 2))
    classes = [index for index in np.flatnonzero(true).tolist() if index != true.argmax()]
    rows = [_patients(found, index) for index in classes]
    heights = [_ROW * len(one) + _HEAD for one in rows]
    figure = new_figure(
        8.6,
        1.7 + sum(heights),
        title="Found and missed beats by patient",
        source=f"{source}\nleft: found of all beats of the class; right: beats of other classes "
        "taken for it",
    )
    if not classes:
        return figure
    panels = figure.subplots(len(classes), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, index, patients in zip(panels, classes, rows, strict=True):
        _draw(axes, found, index, patients)
    handles = {
        text: handle
        for axes in panels
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return figure


def _patients(found: PatientConfusion, index: int) -> np.ndarray:
    """Return the patients to draw for a class, those with most of its beats first."""
    true, taken = found.counts[:, index].sum(axis=1), found.counts[:, :, index].sum(axis=1)
    drawn = np.flatnonzero(true + taken)
    return drawn[np.lexsort((-taken[drawn], -true[drawn]))]


def _draw(axes: Axes, found: PatientConfusion, index: int, patients: np.ndarray) -> None:
    counts, names = found.counts[patients], found.class_names
    true, places = counts[:, index].sum(axis=1), np.arange(len(patients))
    has_beats, left = true > 0, np.zeros(len(patients))
    axes.barh(places[~has_beats], 1, height=0.7, color="none", edgecolor=FAINT, linewidth=0.8)
    for other in [index, *(other for other in range(len(names)) if other != index)]:
        share = np.divide(counts[:, index, other], true, where=has_beats, out=np.zeros(len(true)))
        if not share.any():
            continue
        is_found = other == index
        axes.barh(
            places,
            share,
            left=left,
            height=0.7,
            color="#c9c9c9" if is_found else CLASS_COLORS[other % len(CLASS_COLORS)],
            label="found" if is_found else f"missed as {names[other]}",
        )
        left = left + share
    for place, counted in zip(places, counts, strict=True):
        false = {
            names[other]: int(counted[other, index])
            for other in np.argsort(-counted[:, index], kind="stable").tolist()
            if other != index and counted[other, index]
        }
        if false:
            text = ", ".join(f"{count_text(number)} {name}" for name, number in false.items())
            axes.text(1.02, place, f"false: {text}", va="center", fontsize=8, color=INK)
    axes.set_yticks(
        places,
        [
            f"{found.patients[row]}   {_number(counted[index, index], counted[index].sum())}"
            for row, counted in zip(patients.tolist(), counts, strict=True)
        ],
    )
    axes.set_ylim(len(patients) - 0.4, -0.6)
    hits, all_true = int(found.counts[:, index, index].sum()), int(found.counts[:, index].sum())
    false = int(found.counts[:, :, index].sum()) - hits
    axes.set_title(
        f"class {names[index]}: {_number(hits, all_true)} found, {count_text(false)} false",
        loc="left",
    )
    axes.set_xlim(0, 1.32)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED)


def _number(hits: int, total: int) -> str:
    return f"{count_text(int(hits))} of {count_text(int(total))}" if total else "no beat"
