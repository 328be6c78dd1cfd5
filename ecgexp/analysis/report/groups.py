"""Group runs that differ only in their seed into configurations, and find the columns that differ."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ecgexp.analysis.run_rows import PrivacyGuarantee, Row
from ecgexp.analysis.spread import Spread, score_of, spread
from ecgexp.tracking.params import has_effect

# Runs that differ here only are one configuration.
_IGNORED = ("seed", "privacy.noise_seed")
# Runs whose values here agree were trained and evaluated on the same beats with the same model.
_SET_UP = re.compile(r"(dataset|grouping|split|features|augmentation|model)\.")
# What moves a run along its privacy–utility curve; unit, clip, δ and sampling make another curve.
_STRENGTH = re.compile(
    r"privacy\.(noise_multiplier|target_epsilon|max_epsilon|hypothetical_population)$"
)
_PROTOCOL_ERROR = "protocol_errors."
_ORDER: tuple[PrivacyGuarantee, ...] = ("none", "simulation", "private")


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed only.

    Attributes:
      number: 1, 2, … as the page calls it.
      rows: its runs, by seed.
      values: column -> value, of the parameters that vary among the configurations of the page.
      label: the fewest of these that tell it from the others, in words.
    """

    number: int
    rows: tuple[Row, ...]
    values: Mapping[str, str]
    label: str

    @property
    def guarantee(self) -> PrivacyGuarantee:
        """The privacy guarantee of its runs; the weakest if they differ."""
        return min((row.guarantee for row in self.rows), key=_ORDER.index)

    @cached_property
    def epsilon(self) -> Spread:
        """ε of its runs; see `Row.epsilon`."""
        return spread(row.epsilon for row in self.rows)

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters that its runs share."""
        return relevant(self.rows[0].params)

    @property
    def protocol_errors(self) -> tuple[str, ...]:
        """The protocol errors of the replicated implementation that are switched on.

        Scores with any are not results.
        """
        on = (
            name
            for name, value in self.params.items()
            if name.startswith(_PROTOCOL_ERROR) and value == "True"
        )
        return tuple(name.removeprefix(_PROTOCOL_ERROR) for name in on)

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return self.rows[0].classes

    @property
    def database(self) -> str:
        """Name and version."""
        return self.rows[0].database

    def averaged(self, split: str) -> list[tuple[str, ...]]:
        """The sets of classes over which its runs' averages were taken, each once.

        More than one where seeds differ in it.
        """
        return list(
            dict.fromkeys(
                classes for row in self.rows if (classes := row.averaged(split)) is not None
            )
        )

    def score(self, split: str, score: str) -> Spread:
        """One score over its runs, e.g. `score("test", "f1/V")`."""
        return score_of(self.rows, split, score)


def relevant(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters that make a configuration.

    All but the seed, and those that say only where files are.
    """
    return {
        name: value for name, value in params.items() if has_effect(name) and name not in _IGNORED
    }


def set_up(configuration: Configuration) -> frozenset[tuple[str, str]]:
    """Return data, split, features and model.

    Private and non-private runs that agree here are comparable.
    """
    return frozenset(item for item in configuration.params.items() if _SET_UP.match(item[0]))


def series(configuration: Configuration) -> frozenset[tuple[str, str]]:
    """Return all but the settings of noise; configurations that agree here lie on one curve."""
    return frozenset(item for item in configuration.params.items() if not _STRENGTH.match(item[0]))


def configurations(rows: Sequence[Row]) -> list[Configuration]:
    """The configurations among `rows`: first those without privacy.

    Then curve by curve, from little privacy to much.
    """
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Row]] = {}
    for row in rows:
        # The same settings on other data (a digest that moved) are not the same configuration.
        groups.setdefault((row.digest, frozenset(relevant(row.params).items())), []).append(row)
    made = [
        Configuration(
            0, tuple(sorted(group, key=lambda row: (_number(row.seed), row.started))), {}, ""
        )
        for group in groups.values()
    ]
    made.sort(key=lambda part: part.rows[0].started)
    kinds = list(dict.fromkeys(series(part) for part in made))
    made.sort(
        key=lambda part: (
            _ORDER.index(part.guarantee),
            kinds.index(series(part)),
            -part.epsilon.mean,
        )
    )
    columns = varying([part.params for part in made])
    values = [{name: part.params[name] for name in columns if name in part.params} for part in made]
    labels = told_apart([part.params for part in made])
    return [
        Configuration(number, part.rows, of_columns, label)
        for number, (part, of_columns, label) in enumerate(
            zip(made, values, labels, strict=True), start=1
        )
    ]


def varying(params: Sequence[Mapping[str, str]]) -> list[str]:
    """The names that must be columns, so that no two of `params` look alike.

    Kinds of parts (`_target_`) come first.

    A name counts if those that have it differ. One that some lack is told by the kind of its part,
    which is a column then; only where that is not enough does having it or not count too.
    """
    names = list(dict.fromkeys(name for part in params for name in part))
    selected = [name for name in names if len({part[name] for part in params if name in part}) > 1]
    evaluations = Counter(_values_of(part, selected) for part in params)
    alike = [part for part in params if evaluations[_values_of(part, selected)] > 1]
    selected += [
        name
        for name in names
        if name not in selected and 0 < sum(name in part for part in alike) < len(alike)
    ]
    return sorted(selected, key=lambda name: not name.endswith("._target_"))


def shown(name: str, value: str) -> str:
    """A parameter's value for a reader: of a `_target_` the last part."""
    return value.rpartition(".")[2] if name.endswith("_target_") else value


def short(name: str) -> str:
    """`noise_multiplier` for `privacy.noise_multiplier`, `trainer` for `trainer._target_`."""
    return name.removesuffix("._target_").rpartition(".")[2]


def told_apart(params: Sequence[Mapping[str, str]]) -> list[str]:
    """A few words for each of `params`: the fewest values that tell it from the others.

    Empty where nothing does.
    """
    columns, selected = varying(params), []

    def kinds(names: Sequence[str]) -> int:
        return len({_values_of(part, names) for part in params})

    while kinds(selected) < len(params):
        best = max(columns, key=lambda name: kinds([*selected, name]), default=None)
        if best is None or kinds([*selected, best]) == kinds(selected):
            break
        selected.append(best)
    selected.sort(key=columns.index)
    return [
        _label(part, selected) or _label(part, columns[:1]) or _lacks(part, selected)
        for part in params
    ]


def _label(params: Mapping[str, str], names: Sequence[str]) -> str:
    given = [name for name in names if params.get(name, "None") != "None"]
    return ", ".join(f"{short(name)} {shown(name, params[name])}" for name in given)


def _lacks(params: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{short(name)} {params.get(name, 'not there')}" for name in names)


def _values_of(params: Mapping[str, str], names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(params.get(name) for name in names)


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
