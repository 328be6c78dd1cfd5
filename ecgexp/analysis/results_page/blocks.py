"""Generated parts of files, between lines that mark them: the comment of an experiment file."""

import textwrap
from collections.abc import Iterator, Sequence

from ecgexp.analysis import formatting
from ecgexp.analysis.results_page.groups import PublishedResults, ResultGroup
from ecgexp.analysis.results_page.tables import BASELINE, NAMES, epsilon_range, seconds_text
from ecgexp.formatting import epsilon_text, number_text
from ecgexp.settings.declaration import DataError

MARKDOWN = ("<!-- results:begin -->", "<!-- results:end -->")
YAML = ("# results:begin, written by scripts/results_page.py", "# results:end")
_WIDTH = 100
_NOTHING = "not measured; whoever runs it adds the result with scripts/results_page.py --add"


def replace_block(text: str, body: str, *, marks: tuple[str, str], name: str) -> str:
    """Return `text` with the lines between the marks replaced.

    Args:
      text: a text that has each mark once, as a line.
      body: the new lines.
      marks: the first and the last line of the block, which stay.
      name: name of the file, for messages.

    Raises:
      DataError: a mark is missing or is there twice.
    """
    lines = text.split("\n")
    begin, end = ([i for i, line in enumerate(lines) if line == mark] for mark in marks)
    if len(begin) != 1 or len(end) != 1 or begin[0] > end[0]:
        raise DataError(
            f"{name}: it needs the line {marks[0]!r} once and, below it, the line {marks[1]!r} "
            "once; put them where the results belong"
        )
    return "\n".join([*lines[: begin[0] + 1], *body.strip("\n").split("\n"), *lines[end[0] :]])


def header(experiment: str, results: PublishedResults) -> str:
    """Return the comment: command, time, test beats, and a line for each configuration.

    Args:
      experiment: an option of `experiment=`, e.g. `replication/central`.
      results: all published results.
    """
    groups = results.groups(experiment)
    if not groups:
        return "\n".join([*_item("Time:", "not measured"), *_item("Result:", _NOTHING)])
    main = groups[0]
    lines = [f"#   {main.command()}", "#"]
    if seconds := _seconds(groups):
        lines += _item("Time:", seconds_text(seconds))
    lines += _item("Tested:", _tested(main))
    for group in groups:
        lines += _item("Result:", _result(group, main))
    if source := _source(groups):
        lines += _item("Source:", source)
    for text in dict.fromkeys(group.stale for group in groups if group.stale):
        lines += _item("Stale:", text.removeprefix("stale: "))
    for note in dict.fromkeys(note for group in groups for note in group.notes):
        lines += _item("Note:", note)
    return "\n".join(lines)


def _seconds(groups: Sequence[ResultGroup]) -> tuple[float, float] | None:
    known = [group.seconds for group in groups if group.seconds is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _tested(group: ResultGroup) -> str:
    beats = group.first.evaluated
    parts = [beats.split]
    if beats.beats is not None:
        parts.append(number_text(beats.beats, "beat"))
    if beats.patients is not None:
        parts[-1] += f" of {number_text(beats.patients, 'patient')}"
    if (baseline := group.score("test/majority/accuracy")).is_defined:
        parts.append(f"{BASELINE} {formatting.score_range(baseline)}")
    return ", ".join(parts)


def _source(groups: Sequence[ResultGroup]) -> str:
    carried = {
        line.provenance.commit[:7]
        for group in groups
        for line in group.lines
        if line.provenance.source == "carried over"
    }
    return f"carried over from commit {', '.join(sorted(carried))}" if carried else ""


def _result(group: ResultGroup, main: ResultGroup) -> str:
    words = " ".join(group.first.overrides)
    seeds = "seed" if len(group.seeds) == 1 else "seeds"
    text = f"{words + ', ' if words else ''}{seeds} {','.join(map(str, group.seeds))}"
    if group.privacy is not None:
        by_rdp = group.privacy.epsilon_rdp
        rdp = "" if by_rdp is None else f" (RDP {epsilon_text(by_rdp)})"
        text += (
            f"; {group.first.guarantee}, ε {epsilon_range(group)}{rdp}, δ {group.privacy.delta:g}"
        )
    found = [
        f"{name} {formatting.score_range(group.score(metric))}"
        for metric, name in NAMES.items()
        if group.score(metric).is_defined
    ]
    other = _tested(group)
    where = "" if other == _tested(main) else f"; tested: {other}"
    return f"{text}: {', '.join(found)}{where}"


def _item(name: str, text: str) -> Iterator[str]:
    """Yield the lines of an item; further lines are indented below its text."""
    first = f"# {name:<8}"
    yield from textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent="#" + " " * (len(first) - 1),
        break_long_words=False,
        break_on_hyphens=False,
    )
