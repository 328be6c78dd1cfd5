"""What the figures of a comparison do not say by themselves."""

from collections.abc import Iterator

from ecgexp.analysis.comparison.reading import PrivacyGuarantee
from ecgexp.analysis.comparison.settings_differences import Differences
from ecgexp.analysis.find_runs import StoredRun
from ecgexp.evaluation.metrics import classes_with_beats
from ecgexp.evaluation.missing import averaged_classes
from ecgexp.evaluation.paired_differences import PairedDifferences
from ecgexp.evaluation.pairs import Pairs
from ecgexp.tracking.local.result import ResultValues

_ENOUGH_PATIENTS = 20


def warnings(a: StoredRun, b: StoredRun, split: str, pairs: Pairs | None) -> Iterator[str]:
    """What nobody must overlook; `pairs` is None where the runs cannot be compared."""
    if a.run_id == b.run_id:
        yield "A and B are one run"
    if pairs is not None and (pairs.only_a or pairs.only_b):
        yield (
            f"NOT THE SAME BEATS: {pairs.only_a} {split} beats of A are not among B's, and {pairs.only_b} of B's are not among "
            f"A's; they are left out, and the scores below are of the {len(pairs.labels)} others"
        )
    digests = [run.tags.get("dataset.digest") for run in (a, b)]
    if digests[0] != digests[1]:
        shown = " and ".join(digest[:12] if digest else "none" for digest in digests)
        yield (
            f"NOT THE SAME DATA: the digests of the beats differ ({shown}): other files, cut another way, or runs of two stores, "
            "each of which has a key of its own"
        )
    for key, run in (("A", a), ("B", b)):
        if run.status != "FINISHED":
            yield f"{key} is {run.status} and not FINISHED"
    yield from _about_averages(a, b, split, pairs)


def _about_averages(a: StoredRun, b: StoredRun, split: str, pairs: Pairs | None) -> Iterator[str]:
    """Averages of the two runs' own results that were taken over other classes, and so rank nothing."""
    own = [averaged_classes(run.metrics, split, _classes(run)) for run in (a, b)]
    if None in own:
        return
    if set(own[0]) != set(own[1]):
        shown = [
            f"{key}'s over {', '.join(classes) or 'none'}"
            for key, classes in zip("AB", own, strict=True)
        ]
        here = (
            ""
            if pairs is None
            else f"; below both are over {', '.join(classes_with_beats(pairs.labels, pairs.class_names))}"
        )
        yield f"NOT THE SAME CLASSES: macro F1 and the other averages in the runs' own results are {' and '.join(shown)}{here}"


def _classes(run: StoredRun) -> list[str]:
    """The classes of a run, as its result or its predictions name them."""
    return list(
        ((run.read_json("result.json", ResultValues) or {}).get("data") or {}).get("classes") or ()
    )


def notes(
    a: StoredRun, b: StoredRun, split: str, differing: Differences, scores: PairedDifferences | None,
    guarantees: tuple[PrivacyGuarantee, PrivacyGuarantee],
) -> Iterator[str]:  # fmt: skip
    """What to keep in mind while reading the tables; `scores` is None where the runs cannot be compared."""
    yield from _about_privacy(*guarantees)
    if split == "validation":
        yield "Where validation beats chose the epoch that was kept, scores on them are optimistic."
    yield (
        f"Both runs were judged on these {split} beats. Whoever chooses a run by its {split} scores makes the chosen one's "
        "score optimistic; judge it on beats that chose nothing."
    )
    if not (differing.only_seed or differing.none):
        yield "Each run is one seed. The interval is about other patients, not other seeds, which may move a score as much."
    if scores is not None:
        if absent := [name for name in scores.class_names if name not in scores.averaged]:
            yield (
                f"None of these beats is of class {', '.join(absent)}: nothing is known of them, and averages are over "
                f"{', '.join(scores.averaged)}."
            )
        if scores.stands_in:
            yield f"{scores.stands_in[0].upper()}{scores.stands_in[1:]}."
        yield from _about_intervals(scores)
    for key, run in (("A", a), ("B", b)):
        yield from (f"{key}, {note}" for note in _own_notes(run))
    if "true" in (a.tags.get("git.dirty"), b.tags.get("git.dirty")):
        yield "Code with changes that no commit holds was used, so that equal commits may not be equal code."


def _own_notes(run: StoredRun) -> list[str]:
    """What the run itself said that its scores do not rest on."""
    told = (run.read_json("result.json", ResultValues) or {}).get("notes") or {}
    return [f"{about}: {text}" for about, texts in told.items() for text in texts]


def verdict(scores: PairedDifferences | None, problem: str, differing: Differences) -> str:
    """The one sentence, and what kind of difference it is about where no setting differs."""
    if scores is None:
        return f"No verdict: {problem}."
    sentence = scores.verdict()
    if differing.only_seed:
        return f"{sentence} Only the seed differs: this is what a seed makes, and no setting."
    if differing.none and not scores.same_answers:
        return (
            f"{sentence} Nothing differs between the runs: this is what training makes by itself."
        )
    return sentence


def _about_privacy(a: PrivacyGuarantee, b: PrivacyGuarantee) -> Iterator[str]:
    private = a.epsilon is not None, b.epsilon is not None
    if private[0] != private[1]:
        one, other = ("A", "B") if private[0] else ("B", "A")
        yield f"{one} keeps a promise of privacy and {other} makes none: part of the difference is its price."
    elif all(private) and a.unit != b.unit:
        yield (
            f"The ε protect another unit, {a.unit or 'unknown'} in A and {b.unit or 'unknown'} in B: they cannot be compared."
        )
    elif all(private) and a.rows_per_unit != b.rows_per_unit:
        yield (
            f"The ε protect a heartbeat that is in up to {a.rows_per_unit} rows in A and in up to {b.rows_per_unit} in B: the "
            "windows differ, and so does what one row costs."
        )


def _about_intervals(scores: PairedDifferences) -> Iterator[str]:
    shown = sum(row.interval is not None for row in scores.differences)
    if not shown:
        return
    yield f"Of {shown} intervals one in 20 leaves 0 out by chance alone; the verdict goes by {scores.decisive.name} only."
    if scores.num_patients < _ENOUGH_PATIENTS:
        yield (
            f"{scores.num_patients} patients are few: such intervals are too narrow. In a simulation of equally good models "
            "they held 0 in 84 % of the cases with 5 patients, in 91 % with 10 and in 92 % with 22."
        )
