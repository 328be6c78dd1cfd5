"""Group runs that differ only in their seed into configurations, with the scores of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ecgexp.analysis.run_rows import PrivacyGuarantee, Row
from ecgexp.analysis.spread import Spread, score_of, spread
from ecgexp.tracking.params import has_effect

# Names of parameters as runs log them; a test checks that they exist.
# Runs that differ only in these are one configuration.
_IGNORED = ("seed", "privacy.noise_seed")
# Runs that agree in these groups were trained and evaluated on the same beats with the same model.
_SET_UP = ("dataset.", "grouping.", "split.", "features.", "augmentation.", "model.")
# Settings that differ along one privacy–utility curve; unit, clip, δ and sampling separate curves.
_STRENGTH = (
    "privacy.noise_multiplier",
    "privacy.target_epsilon",
    "privacy.max_epsilon",
    "privacy.hypothetical_population",
)
_PROTOCOL_ERROR = "protocol_errors."
_ORDER: tuple[PrivacyGuarantee, ...] = ("none", "simulation", "private")


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed only.

    Attributes:
      number: 1, 2, … on the page.
      rows: its runs, by seed.
      values: column -> value, of the parameters that vary among the configurations of the page.
      label: text with the fewest of these values that distinguish it from the others.
    """

    number: int
    rows: tuple[Row, ...]
    values: Mapping[str, str]
    label: str

    @property
    def guarantee(self) -> PrivacyGuarantee:
        """The privacy guarantee of its runs; the weakest if they differ."""
        return _ORDER[min(_ORDER.index(row.guarantee) for row in self.rows)]

    @cached_property
    def epsilon(self) -> Spread:
        """ε of its runs; see `Row.epsilon`."""
        return spread(row.epsilon for row in self.rows)

    @cached_property
    def params(self) -> Mapping[str, str]:
        """The parameters that its runs share."""
        return relevant(self.rows[0].params)

    @property
    def protocol_errors(self) -> tuple[str, ...]:
        """The protocol errors of the replicated implementation that are switched on.

        Scores with a protocol error are not results.
        """
        on = (
            name
            for name, value in self.params.items()
            if name.startswith(_PROTOCOL_ERROR) and value == "True"
        )
        return tuple(name.removeprefix(_PROTOCOL_ERROR) for name in on)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.rows[0].classes

    @property
    def database(self) -> str:
        """Name and version of the database."""
        return self.rows[0].database

    def averaged(self, split: str) -> list[tuple[str, ...]]:
        """Return the distinct sets of classes over which averages of its runs were taken.

        There are several if seeds differ in the classes of their beats.
        """
        return list(
            dict.fromkeys(
                classes for row in self.rows if (classes := row.averaged(split)) is not None
            )
        )

    def score(self, split: str, score: str) -> Spread:
        """Return one score over its runs, e.g. `score("test", "f1/V")`."""
        return score_of(self.rows, split, score)


@dataclass(frozen=True, kw_only=True)
class ClientScore:
    """One client's test beats.

    Attributes:
      client: id of the client.
      beats: number of test beats; of the first run if they depend on the seed.
      accuracy: over the seeds.
      macro_f1: over the seeds; an average over the classes that the client has.
      majority: accuracy of the majority-class baseline, mean over the seeds.
    """

    client: str
    beats: int
    accuracy: Spread
    macro_f1: Spread
    majority: float


def client_scores(configuration: Configuration) -> Sequence[ClientScore]:
    """Return one entry per client, lowest accuracy first; empty if beats are pooled."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in configuration.rows:
        for client in row.clients:
            found.setdefault(str(client["client"]), []).append(client)
    scores = [
        ClientScore(
            client=name,
            beats=int(runs[0]["beats"]),
            accuracy=spread(run["accuracy"] for run in runs),
            macro_f1=spread(run["macro_f1"] for run in runs),
            majority=spread(run["majority_accuracy"] for run in runs).mean,
        )
        for name, runs in found.items()
    ]
    return sorted(scores, key=lambda one: (one.accuracy.mean, one.client))


def relevant(params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that define a configuration.

    The seed and settings that do not affect a result, such as paths, are left out.
    """
    return {name: value for name, value in params.items() if _is_relevant(name)}


@cache
def _is_relevant(name: str) -> bool:
    return has_effect(name) and name not in _IGNORED


def set_up(configuration: Configuration) -> frozenset[tuple[str, str]]:
    """Return the parameters of data, split, features and model.

    A private and a non-private configuration that agree in them are comparable.
    """
    return frozenset(item for item in configuration.params.items() if item[0].startswith(_SET_UP))


def series(configuration: Configuration) -> frozenset[tuple[str, str]]:
    """Return all parameters but those of the noise; those that agree in them are one curve."""
    return frozenset(item for item in configuration.params.items() if item[0] not in _STRENGTH)


def configurations(rows: Sequence[Row]) -> list[Configuration]:
    """Return the configurations of runs, numbered in the order of the page.

    Configurations without privacy come first, then those of each curve, by decreasing ε.
    """
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Row]] = {}
    for row in rows:
        # Runs with the same settings on other data (another digest) are another configuration.
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
    labels = distinguishing_labels([part.params for part in made])
    return [
        Configuration(number, part.rows, of_columns, label)
        for number, (part, of_columns, label) in enumerate(
            zip(made, values, labels, strict=True), start=1
        )
    ]


def varying(params: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of parameters that must be columns to distinguish all of `params`.

    Names of classes (`_target_`) come first. A name is a column if configurations that have it
    differ in its value. A name that only some configurations have usually depends on a `_target_`,
    which is a column then; only if that does not distinguish them is the name a column too.
    """
    names = list(dict.fromkeys(name for part in params for name in part))
    selected = [name for name in names if len({part[name] for part in params if name in part}) > 1]
    counts = Counter(_values_of(part, selected) for part in params)
    alike = [part for part in params if counts[_values_of(part, selected)] > 1]
    selected += [
        name
        for name in names
        if name not in selected and 0 < sum(name in part for part in alike) < len(alike)
    ]
    return sorted(selected, key=lambda name: not name.endswith("._target_"))


def shown(name: str, value: str) -> str:
    """Return a parameter's value for display: the name of the class for a `_target_`."""
    return value.rpartition(".")[2] if name.endswith("_target_") else value


def short(name: str) -> str:
    """Shorten a name: `privacy.delta` to `delta`, `trainer._target_` to `trainer`."""
    return name.removesuffix("._target_").rpartition(".")[2]


def distinguishing_labels(params: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a label for each of `params` with the fewest values that distinguish it.

    A label is empty if no value does.
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
