"""Published results of one configuration over its seeds, and which of its lines are used."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ecgexp.analysis.results_page.from_run import settings_of
from ecgexp.analysis.results_page.record import Privacy, PublishedResult
from ecgexp.analysis.spread import Spread, spread
from ecgexp.settings.declaration import DataError

CHANGED = "stale: the experiment has other settings now; it has to be measured again"


@dataclass(frozen=True, kw_only=True)
class ResultGroup:
    """The lines of one configuration that are used: one run per seed, or one mean over seeds.

    Attributes:
      lines: lines with the same `PublishedResult.key`, by seed.
    """

    lines: tuple[PublishedResult, ...]

    @property
    def first(self) -> PublishedResult:
        """The first line, for values that all lines share."""
        return self.lines[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs."""
        return tuple(seed for line in self.lines for seed in line.seeds)

    def score(self, metric: str) -> Spread:
        """Return mean and range over the seeds, and the 95 % interval, of a metric.

        The interval of several seeds is the mean of their ends.

        Args:
          metric: a metric key, e.g. `test/f1/V`.
        """
        known = [line.metrics.get(metric) for line in self.lines]
        ends = [one.interval for one in known if one is not None and one.interval is not None]
        interval = (
            (_mean(low for low, _ in ends), _mean(high for _, high in ends)) if ends else None
        )
        one = known[0]
        if len(self.lines) == 1 and one is not None and one.range is not None:
            low, high = one.range
            return Spread(
                mean=one.value,
                low=low,
                high=high,
                count=len(self.seeds),
                undefined=0,
                interval=interval,
            )
        found = spread(None if one is None else one.value for one in known)
        return replace(found, interval=interval)

    @property
    def privacy(self) -> Privacy | None:
        """The guarantee of one run; None without one."""
        return self.first.privacy

    @property
    def epsilon(self) -> Spread:
        """ε of one run, over the seeds; infinite without a guarantee."""
        return spread(
            math.inf if line.privacy is None else line.privacy.epsilon for line in self.lines
        )

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Duration of the shortest and the longest run; None if unknown."""
        known = [line.seconds for line in self.lines if line.seconds is not None]
        return (min(low for low, _ in known), max(high for _, high in known)) if known else None

    @property
    def stale(self) -> str:
        """Why the results must be measured again; empty if they are current."""
        reason = next((line.stale for line in self.lines if line.stale), "")
        if reason:
            return f"stale: {reason}"
        settings = [line.settings for line in self.lines if line.settings]
        if settings and any(one != settings_of(*self.first.key) for one in settings):
            return CHANGED
        return ""

    @property
    def notes(self) -> list[str]:
        """The distinct notes on the limits of the results."""
        return list(dict.fromkeys(note for line in self.lines for note in line.notes))

    def command(self) -> str:
        """Return the command that makes its runs."""
        words = [f"experiment={self.first.experiment}", *self.first.overrides]
        seeds = ",".join(map(str, self.seeds))
        return f"ECGEXP_DATA=… uv run ecgexp -m {' '.join(words)} seed={seeds}"


class PublishedResults:
    """All published results.

    Of the lines of one configuration, the newest run of each seed is used. A mean that was carried
    over is used until a run is added for each of its seeds.

    Args:
      lines: in the order in which they were added.
    """

    def __init__(self, lines: Iterable[PublishedResult]):
        self.lines = tuple(lines)

    def groups(self, experiment: str) -> list[ResultGroup]:
        """Return the configurations of an experiment, in the order in which they were added."""
        keys = dict.fromkeys(line.key for line in self._used() if line.experiment == experiment)
        return [self.group(*key) for key in keys]

    def group(self, experiment: str, overrides: Sequence[str] = ()) -> ResultGroup:
        """Return the lines of one configuration that are used.

        Raises:
          DataError: there is no such line.
        """
        lines = [
            line for line in self._used() if line.key == (experiment, tuple(sorted(overrides)))
        ]
        means = [line for line in lines if line.kind == "mean"]
        added = _newest(line for line in lines if line.provenance.source == "run")
        if means and not {*means[-1].seeds} <= {line.seeds[0] for line in added}:
            return ResultGroup(lines=(means[-1],))
        runs = added or _newest(line for line in lines if line.kind == "run")
        if not runs:
            words = " ".join([f"experiment={experiment}", *overrides])
            raise DataError(
                f"{words}: no line of results/runs.jsonl has it; run it and add it with "
                "scripts/results_page.py --add"
            )
        return ResultGroup(lines=tuple(runs))

    def ensemble(self, experiment: str, overrides: Sequence[str] = ()) -> PublishedResult | None:
        """Return the newest ensemble of a configuration; None without one."""
        key = (experiment, tuple(sorted(overrides)))
        found = [line for line in self.lines if line.kind == "ensemble" and line.key == key]
        return found[-1] if found else None

    def evaluations(self, split: str) -> list[PublishedResult]:
        """Return all lines that were evaluated on a split, in the order of time, failed ones too.

        A mean is included if the lines of its runs were not kept. An ensemble is not included,
        because its runs are.
        """
        runs = [line for line in self.lines if line.kind == "run"]
        known = {(line.key, line.seeds[0]) for line in runs}
        means = [
            line
            for line in self.lines
            if line.kind == "mean" and not any((line.key, seed) in known for seed in line.seeds)
        ]
        found = [line for line in (*runs, *means) if line.evaluated.split.startswith(split)]
        return sorted(found, key=lambda line: line.provenance.date)

    def _used(self) -> list[PublishedResult]:
        return [
            line
            for line in self.lines
            if line.kind != "ensemble" and line.status == "FINISHED" and not line.variant
        ]


def _newest(lines: Iterable[PublishedResult]) -> list[PublishedResult]:
    """Return the newest line of each seed, by seed."""
    by_seed: dict[int, PublishedResult] = {}
    for line in sorted(lines, key=lambda line: line.provenance.date):
        if line.kind == "run":
            by_seed[line.seeds[0]] = line
    return [by_seed[seed] for seed in sorted(by_seed)]


def _mean(values: Iterable[float]) -> float:
    return spread(values).mean
