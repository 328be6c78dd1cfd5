"""Scores of the clients of one configuration, over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecgexp.analysis.report.groups import Configuration
from ecgexp.analysis.spread import Spread, spread


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
