"""Warnings, notes and verdict of a run comparison."""

from collections.abc import Iterator

from ecgexp.analysis.comparison.reading import Differences, PrivacyGuarantee
from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation.metrics import classes_with_beats
from ecgexp.evaluation.missing import averaged_classes
from ecgexp.evaluation.paired_differences import PairedDifferences
from ecgexp.evaluation.pairs import Pairs
from ecgexp.settings.renamed import VERSION
from ecgexp.tracking.debug_mark import DEBUG, meaningless

_ENOUGH_PATIENTS = 20


def warnings(a: StoredRun, b: StoredRun, split: str, pairs: Pairs | None) -> Iterator[str]:
    """Yield the warnings of a comparison.

    Args:
      a: the reference run.
      b: the other run.
      split: whose beats were compared.
      pairs: the common beats; None if the runs cannot be compared.
    """
    if a.run_id == b.run_id:
        yield "A and B are the same run"
    if pairs is not None and (pairs.only_a or pairs.only_b):
        yield (
            f"Different beats: {pairs.only_a} {split} beats of A are not among B's, and "
            f"{pairs.only_b} of B's are not among "
            f"A's; they are left out, and the scores below are on the {len(pairs.labels)} others"
        )
    digests = [run.tags.get("dataset.digest") for run in (a, b)]
    if digests[0] != digests[1]:
        shown = " and ".join(digest[:12] if digest else "none" for digest in digests)
        yield (
            f"Different data: the digests of the beats differ ({shown}): the files, their "
            "windows or dataset.pseudonyms differ, or the runs are from two stores, each with its "
            "own key"
        )
    for key, run in (("A", a), ("B", b)):
        if run.has_old_names:
            yield (
                f"{key} was made before version {VERSION}: settings that were renamed since are "
                "listed as different; docs/reference/renamed.md has their new names"
            )
        if (preset := run.tags.get(DEBUG)) is not None:
            yield f"{key} is a debug run; {meaningless(preset)}"
        if run.status != "FINISHED":
            yield f"{key} is {run.status} and not FINISHED"
    yield from _about_averages(a, b, split, pairs)


def _about_averages(a: StoredRun, b: StoredRun, split: str, pairs: Pairs | None) -> Iterator[str]:
    """Warn if the averages of the runs are over different classes, so cannot be compared."""
    first, second = (averaged_classes(run.metrics, split, _classes(run)) for run in (a, b))
    if first is None or second is None:
        return
    if set(first) != set(second):
        shown = [
            f"{key}'s over {', '.join(classes) or 'none'}"
            for key, classes in (("A", first), ("B", second))
        ]
        here = ""
        if pairs is not None:
            names = ", ".join(classes_with_beats(pairs.labels, pairs.class_names))
            here = f"; below both are over {names}"
        yield (
            "Different classes: macro F1 and the other averages in the runs' own results are "
            f"{' and '.join(shown)}{here}"
        )


def _classes(run: StoredRun) -> list[str]:
    """Return the class names that the result of a run stores."""
    return list((run.result.get("data") or {}).get("classes") or ())


def notes(
    a: StoredRun,
    b: StoredRun,
    split: str,
    differing: Differences,
    scores: PairedDifferences | None,
    guarantees: tuple[PrivacyGuarantee, PrivacyGuarantee],
) -> Iterator[str]:
    """Yield notes on the tables of a comparison.

    Args:
      a: the reference run.
      b: the other run.
      split: whose beats were compared.
      differing: settings and origin that differ.
      scores: paired score differences; None if the runs cannot be compared.
      guarantees: privacy guarantees of A and of B.
    """
    yield from _about_privacy(*guarantees)
    if split == "validation":
        yield "If validation beats selected the epoch, scores on them are optimistic."
    yield (
        f"Both runs were evaluated on these {split} beats. If its {split} scores select a run, its "
        "score is optimistic; evaluate the selected run on other beats."
    )
    if not (differing.only_seed or differing.none):
        yield (
            "Each run is one seed. The interval is over patients, not over seeds, whose effect may "
            "be as large."
        )
    if scores is not None:
        if absent := [name for name in scores.class_names if name not in scores.averaged]:
            yield (
                f"None of these beats is of class {', '.join(absent)}, so averages are over "
                f"{', '.join(scores.averaged)}."
            )
        if scores.stands_in:
            yield f"{scores.stands_in[0].upper()}{scores.stands_in[1:]}."
        yield from _about_intervals(scores)
    yield from _stored_notes(a, b)
    if "true" in (a.tags.get("git.dirty"), b.tags.get("git.dirty")):
        yield "A run used code with uncommitted changes, so equal commits may not mean equal code."


def _stored_notes(a: StoredRun, b: StoredRun) -> Iterator[str]:
    """Yield the notes that the runs stored: those of both once, then those of one."""
    of_a, of_b = _own_notes(a), _own_notes(b)
    yield from (f"A and B, {note}" for note in of_a if note in of_b)
    yield from (f"A, {note}" for note in of_a if note not in of_b)
    yield from (f"B, {note}" for note in of_b if note not in of_a)


def _own_notes(run: StoredRun) -> list[str]:
    """Return the notes that the run itself stored about its scores."""
    stored = run.result.get("notes") or {}
    return [f"{about}: {text}" for about, texts in stored.items() for text in texts]


def verdict(scores: PairedDifferences | None, problem: str, differing: Differences) -> str:
    """Return the verdict as one sentence, with the cause of a difference if no setting differs.

    Args:
      scores: paired score differences; None if the runs cannot be compared.
      problem: why they cannot be compared.
      differing: settings and origin that differ.
    """
    if scores is None:
        return f"No verdict: {problem}."
    sentence = scores.verdict()
    if differing.only_seed:
        return (
            f"{sentence} Only the seed differs: the difference comes from the seed, not from a "
            "setting."
        )
    if differing.none and not scores.same_answers:
        return (
            f"{sentence} No setting differs: the difference comes from nondeterministic training."
        )
    return sentence


def _about_privacy(a: PrivacyGuarantee, b: PrivacyGuarantee) -> Iterator[str]:
    private = a.epsilon is not None, b.epsilon is not None
    if private[0] != private[1]:
        one, other = ("A", "B") if private[0] else ("B", "A")
        yield (
            f"{one} has a privacy guarantee and {other} has none: part of the difference is due to "
            "it."
        )
    elif all(private) and a.unit != b.unit:
        yield (
            f"The ε are for different units of privacy, {a.unit or 'unknown'} in A and "
            f"{b.unit or 'unknown'} in B: they cannot be compared."
        )
    elif all(private) and a.rows_per_unit != b.rows_per_unit:
        yield (
            f"The ε are for a heartbeat in up to {a.rows_per_unit} rows in A and in up to "
            f"{b.rows_per_unit} in B: the windows differ, and so does the privacy loss of one row."
        )


def _about_intervals(scores: PairedDifferences) -> Iterator[str]:
    shown = sum(row.interval is not None for row in scores.differences)
    if not shown:
        return
    yield (
        f"Of {shown} intervals one in 20 excludes 0 by chance alone; the verdict uses "
        f"{scores.decisive.name} only."
    )
    if scores.num_patients < _ENOUGH_PATIENTS:
        yield (
            f"{scores.num_patients} patients are few: such intervals are too narrow. In a "
            "simulation of equally good models they contained 0 in 84 % of the cases with "
            "5 patients, "
            "in 91 % with 10 and in 92 % with 22."
        )
