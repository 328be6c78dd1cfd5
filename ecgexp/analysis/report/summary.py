"""The summary on top of a page: the best configurations, what differs, and what may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecgexp.analysis import formatting
from ecgexp.analysis.report.chance import HEADLINES, Difference, EvaluatedTogether
from ecgexp.analysis.report.groups import Configuration, shown
from ecgexp.analysis.report.tables import Table
from ecgexp.analysis.run_rows import PrivacyGuarantee
from ecgexp.formatting import difference_text

_KINDS: dict[PrivacyGuarantee, str] = {
    "none": "without privacy",
    "simulation": "simulated noise, no privacy guarantee",
    "private": "with a privacy guarantee",
}
_MOST_GROUPS = 4
_MOST_NUMBERS = 8
_MOST_VALUES = 8
_DECIMALS = 12  # scores that agree in them are equal: means over seeds are rounded


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of a page.

    Attributes:
      table: The best configuration by each score; None if no configuration is scored.
      best: The best configurations by macro F1, without and with a privacy guarantee.
      differs: (setting, its values) of each setting that differs between configurations.
    """

    table: Table | None
    best: Sequence[Configuration]
    differs: Sequence[tuple[str, str]]


def summarize(
    groups: Sequence[EvaluatedTogether], configurations: Sequence[Configuration], split: str
) -> Summary:
    """Return the summary of a page.

    Configurations are ranked only among those that were evaluated on the same test beats.

    Args:
      groups: Of the configurations that may be ranked.
      configurations: All configurations of the page.
      split: `test` or `validation`.
    """
    rows, best = [], []
    for group in groups[:_MOST_GROUPS]:
        there = {one.guarantee for one in group.configurations}
        kinds: dict[PrivacyGuarantee, str] = {
            kind: words for kind, words in _KINDS.items() if kind in there
        }
        for score, name in HEADLINES.items():
            for kind, words in kinds.items():
                ranked = _ranked(group, kind, score, split)
                if not ranked:
                    continue
                what = f"{name}, {words}" if len(kinds) > 1 else name
                rows.append([what, *_row(group, ranked, score, split)])
                if score == "macro_f1":
                    best.append(ranked[0])
    return Summary(
        table=_table(rows, groups, split) if rows else None,
        best=best,
        differs=_differs(configurations),
    )


def _ranked(
    group: EvaluatedTogether, kind: PrivacyGuarantee, score: str, split: str
) -> list[Configuration]:
    """Return the configurations of one kind that have the score, best first.

    Of equal scores the one with the smallest ε is first.
    """
    found = [
        one
        for one in group.configurations
        if one.guarantee == kind and one.score(split, score).is_defined
    ]
    return sorted(
        found, key=lambda one: (-round(one.score(split, score).mean, _DECIMALS), one.epsilon.mean)
    )


def _row(
    group: EvaluatedTogether, ranked: Sequence[Configuration], score: str, split: str
) -> list[str]:
    best, *others = ranked
    label = f"[{best.number}] {best.label}".rstrip()
    if best.guarantee == "private":
        label += f", ε {formatting.epsilon(best.epsilon)}"
    found = best.score(split, score)
    text = formatting.score(found)
    if found.interval is None and (interval := group.interval(best, score)) is not None:
        text += f" [{interval.low:.3f}, {interval.high:.3f}]"
    baseline = best.score(split, f"majority/{score}")
    return [
        label,
        text,
        _over_baseline(group.over_baseline(best, score), formatting.score(baseline))
        if baseline.is_defined
        else "–",
        _verdict(group, best, others, score),
    ]


def _over_baseline(found: Difference, baseline: str) -> str:
    if _is_equal(found):
        return f"{baseline}; equal"
    if found.interval is None or found.interval.low > 0:
        return baseline
    return f"{baseline}; " + (
        "the difference may be chance" if found.may_be_chance else "the baseline is better"
    )


def _is_equal(found: Difference) -> bool:
    return round(found.value, _DECIMALS) == 0


def _verdict(
    group: EvaluatedTogether, best: Configuration, others: Sequence[Configuration], score: str
) -> str:
    """Return in words which of the others are equal, and which may be as good."""
    if not others:
        return "the only one"
    found = {other.number: group.difference(best, other, score) for other in others}
    equal = sorted(number for number, one in found.items() if _is_equal(one))
    below = {number: one for number, one in found.items() if number not in equal}
    parts = [f"{_listed(equal)} {'is' if len(equal) == 1 else 'are'} equal"] if equal else []
    if below:
        number, next_best = next(iter(below.items()))
        parts.append(f"[{number}] is {difference_text(next_best.value)} below")
        alike = [number for number, one in below.items() if one.may_be_chance]
        if all(one.interval is None for one in below.values()):
            parts.append("not tested")
        elif alike:
            parts.append(f"may be chance for {len(alike)} of {len(others)}: {_listed(alike)}")
        else:
            rest = f"[{number}]" if len(below) == 1 else f"the {len(below)} others"
            all_others = rest if equal or len(below) == 1 else f"all {len(below)} others"
            parts.append(f"better than {all_others} beyond chance")
    return "; ".join(parts)


def _listed(numbers: Sequence[int]) -> str:
    listed = " ".join(f"[{number}]" for number in numbers[:_MOST_NUMBERS])
    more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
    return listed + more


def _table(rows: list[list[str]], groups: Sequence[EvaluatedTogether], split: str) -> Table:
    return Table(
        name="summary",
        caption=f"Best by each score on the {split} beats",
        columns=["", "best", split, "majority-class baseline", "against the others"],
        groups=[[row] for row in rows],
        row_name="score",
        notes=_notes(rows, groups, split),
    )


def _notes(
    rows: Sequence[Sequence[str]], groups: Sequence[EvaluatedTogether], split: str
) -> list[str]:
    notes = []
    if any(len(group.configurations) > 1 for group in groups):
        notes.append(
            f"The best was chosen by these {split} scores, so its own score is optimistic."
        )
    if any(" equal" in row[-1] and "ε" in row[1] for row in rows):
        notes.append("Of equal scores the one with the smallest ε is named as the best.")
    patients = sorted({group.num_patients for group in groups if group.num_patients})
    if patients and len(rows) and any(len(group.configurations) > 1 for group in groups):
        counted = " or ".join(map(str, patients))
        notes.append(
            "May be chance: the 95 % interval of the difference, by paired bootstrap over "
            f"{counted} patients, contains 0. The intervals are not corrected for the number of "
            "comparisons, and seeds are not drawn."
        )
    if any(not group.num_patients and len(group.configurations) > 1 for group in groups):
        notes.append(
            "Not tested: the runs stored no test predictions, or have fewer than 5 test patients, "
            "or unknown ones."
        )
    if len(groups) > 1:
        shown_groups = f", of which {_MOST_GROUPS} are shown" if len(groups) > _MOST_GROUPS else ""
        notes.append(
            f"The runs were evaluated on {len(groups)} different sets of {split} beats"
            f"{shown_groups}; only scores on the same beats are ranked."
        )
    return notes


def _differs(configurations: Sequence[Configuration]) -> list[tuple[str, str]]:
    """Return each varying setting with its values, in the order of the configurations."""
    names = dict.fromkeys(name for one in configurations for name in one.values)
    found = []
    for name in names:
        values = list(
            dict.fromkeys(
                shown(name, one.values[name]) for one in configurations if name in one.values
            )
        )
        if len(values) > 1:
            text = ", ".join(values[:_MOST_VALUES])
            more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
            found.append((name.removesuffix("._target_"), text + more))
    return found
