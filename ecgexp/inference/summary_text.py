"""The summary of a recording as text."""

from collections.abc import Iterator

import numpy as np

from ecgexp.inference.summary import LEAST_RUN, PAUSE_S, RecordingSummary, Run

_MOST_PAUSES = 10


def clock(seconds: float) -> str:
    """Return a time from the start of a recording.

    Example:
      >>> clock(90061.0)
      '1 d 01:01:01'
    """
    days, rest = divmod(int(seconds), 86_400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


def summary_lines(summary: RecordingSummary, model: str) -> Iterator[str]:
    """Return the lines of the text.

    Args:
      summary: The summary.
      model: The model in words, e.g. what it was trained on.

    Yields:
      The lines, without line ends.
    """
    yield f"{summary.record_id} · {clock(summary.seconds)} · annotated by {model}"
    yield "Research software: the annotations of a model, no diagnosis."
    yield ""
    yield f"beats         {summary.num_beats} ({_SOURCES[summary.source]})"
    for name, number in summary.counts.items():
        yield f"  {name:<12}{number:>9}  {_percent(number, summary.num_beats)}"
    share = _percent(summary.num_unclassified, summary.num_beats)
    yield f"  {'?':<12}{summary.num_unclassified:>9}  {share}  not classified, or no usable ECG"
    yield ""
    if not summary.runs:
        yield "runs          not known: the model has no class S or V"
    for name, runs in summary.runs.items():
        yield f"runs of {name}     {len(runs)} of {LEAST_RUN} beats or more, " + (
            f"{summary.num_couplets[name]} couplets"
        )
        if runs:
            yield f"  longest     {_run(max(runs, key=lambda run: run.num_beats))}"
            yield f"  fastest     {_run(max(runs, key=lambda run: run.per_minute))}"
    yield ""
    yield f"pauses        {len(summary.pauses)} of {PAUSE_S:g} s or more"
    longest = summary.pauses[np.argsort(-summary.pauses[:, 1], kind="stable")][:_MOST_PAUSES]
    for at, length in longest.tolist():
        yield f"  {length:5.2f} s at {clock(at)}"
    yield ""
    yield "hour          beats per minute: lowest  mean  highest   usable ECG"
    for hour, (low, mean, high) in enumerate(summary.rates.tolist()):
        usable = _of_one(summary.usable_by_hour[hour])
        rates = f"{_rate(low):>8} {_rate(mean):>5} {_rate(high):>8}"
        yield f"  {clock(hour * 3600):<28}{rates}   {usable:>9}"
    yield ""
    total = float(np.sum(list(summary.marks.values())))
    known = not np.isnan(summary.usable_by_hour).all()
    yield f"usable ECG    {_of_one(1 - total) if known else 'not known'} of the segments"
    for name, one in summary.marks.items():
        yield f"  {name:<24}{_of_one(one)}"


_SOURCES = {"reference": "annotated", "detector": "detected"}


def _run(run: Run) -> str:
    return f"{run.num_beats} beats at {run.per_minute:.0f}/min, {clock(run.seconds)}"


def _percent(number: int, whole: int) -> str:
    return f"{100 * number / whole:6.2f} %" if whole else "–"


def _of_one(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def _rate(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0f}"
