"""A federated model beside others on the same test beats, client by client: a table, metrics, and a few words."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgexp.evaluation.clients import ClientScores, spread
from ecgexp.formatting import score_text

GLOBAL, LOCAL_ONLY, PERSONALIZED, POOLED = "global", "local_only", "personalized", "pooled"
_MOST_NAMED = 5
WORDS = {GLOBAL: "global", LOCAL_ONLY: "alone", PERSONALIZED: "personalized", POOLED: "pooled"}


@dataclass(kw_only=True)
class FederatedComparison:
    """What is known of each model; filled as the models are trained. NaN stands for a model whose training diverged.

    Attributes:
      scores: of the final global model on the test beats.
      train_beats: client id -> its training beats, for the clients that were trained.
      own: model -> client id -> accuracy on the client's own test beats; a model that was not asked for has no entry.
      everywhere: client id -> accuracy on all test beats of the model that the client trained alone.
      overall: model -> its scores on all test beats, by name, of `global` and `pooled`.
      one_class: clients whose training beats are of a single class.
    """

    scores: ClientScores
    train_beats: Mapping[str, int]
    own: dict[str, dict[str, float]] = field(default_factory=dict)
    everywhere: dict[str, float] = field(default_factory=dict)
    overall: dict[str, dict[str, float]] = field(default_factory=dict)
    one_class: Collection[str] = ()

    def __post_init__(self):
        accuracies = dict(zip(self.scores.clients, self.scores.accuracy.tolist(), strict=True))
        self.own = {GLOBAL: accuracies, **self.own}

    @property
    def both(self) -> list[str]:
        """The clients that were trained and have test beats of their own, sorted."""
        return sorted(set(self.train_beats) & set(self.scores.clients))

    def rows(self) -> list[dict[str, Any]]:
        """One row a client, sorted by name.

        Columns: client, in_training, train_beats, test_beats; largest_class_share, what always answering the commonest class of
        its own test beats gives; `<model>_accuracy` on its own test beats for each model; and local_only_test_accuracy, that of
        its own model on all test beats. NaN where there is none.
        """
        place = {client: i for i, client in enumerate(self.scores.clients)}
        rows = []
        for client in sorted({*self.train_beats, *place}):
            i = place.get(client)
            row = {
                "client": client, "in_training": client in self.train_beats,
                "train_beats": self.train_beats.get(client, 0), "test_beats": 0 if i is None else int(self.scores.beats[i]),
                "largest_class_share": math.nan if i is None else float(self.scores.largest_share[i]),
            }  # fmt: skip
            row |= {
                f"{model}_accuracy": known.get(client, math.nan)
                for model, known in self.own.items()
            }
            if LOCAL_ONLY in self.own:
                row["local_only_test_accuracy"] = self.everywhere.get(client, math.nan)
            rows.append(row)
        return rows

    def metrics(self) -> dict[str, float]:
        """`federated_baseline/<model>/<metric>`; what no client or model gives is left out.

        `own_accuracy_…` is over the `both` clients, so that the models can be held against each other.
        """
        metrics = {"clients": float(len(self.both))} | self._spread(GLOBAL, "own_accuracy")
        if LOCAL_ONLY in self.own:
            metrics |= self._spread(LOCAL_ONLY, "own_accuracy")
            everywhere = np.array(list(self.everywhere.values()))
            metrics |= {
                f"local_only/test_accuracy_{name}": value
                for name, value in spread(everywhere).items()
            }
            metrics["local_only/diverged"] = float(np.isnan(everywhere).sum())
        if POOLED in self.own:
            metrics |= {f"pooled/{name}": value for name, value in self.overall[POOLED].items()}
            metrics |= self._spread(POOLED, "own_accuracy")
        if PERSONALIZED in self.own:
            metrics |= self._personalized()
        return {
            f"federated_baseline/{name}": value
            for name, value in metrics.items()
            if not math.isnan(value)
        }

    def lines(self) -> list[str]:
        """For the console: how the models do on all test beats, and on each client's own."""
        overall = [
            f"{WORDS[model]} {_accuracy(known['accuracy'])}"
            for model, known in self.overall.items()
        ]
        if alone := spread(np.array(list(self.everywhere.values()))):
            overall.append(f"a client alone {alone['mean']:.3f} on average")
        lines = [f"accuracy on all {self.scores.beats.sum()} test beats: {' · '.join(overall)}"]
        if self.both:
            each = {model: self._spread(model, "own") for model in self.own}
            parts = [
                f"{WORDS[model]} {found[f'{model}/own_mean']:.3f} and {found[f'{model}/own_worst_decile']:.3f}"
                for model, found in each.items()
                if found
            ]
            clients = f"{len(self.both)} client{'s' if len(self.both) > 1 else ''}"
            lines.append(
                f"accuracy on own test beats, mean and worst tenth of {clients}: {' · '.join(parts)}"
            )
        return lines

    def notes(self) -> list[str]:
        """What the comparison does not rest on: clients that are left out, or could not learn to tell classes apart."""
        notes = []
        if not self.both and (LOCAL_ONLY in self.own or PERSONALIZED in self.own):
            notes.append(
                "no client that was trained has test beats of its own under this split, so that none could be compared on them; "
                "type split=intra_patient"
            )
        for model, known in {
            LOCAL_ONLY: self.everywhere,
            PERSONALIZED: self.own.get(PERSONALIZED, {}),
        }.items():
            if diverged := sorted(client for client, value in known.items() if math.isnan(value)):
                notes.append(
                    f"{WORDS[model]}: the training of {', '.join(diverged)} diverged; left out"
                )
            if known and (few := sorted(set(self.one_class) & set(known))):
                notes.append(
                    f"{WORDS[model]}: {len(few)} of {len(known)} clients ({', '.join(few[:_MOST_NAMED])}"
                    f"{', …' if len(few) > _MOST_NAMED else ''}) were trained on beats of one class, and tell none from another"
                )
        if math.isnan(self.overall.get(POOLED, {}).get("accuracy", 0.0)):
            notes.append("pooled: the training diverged; left out")
        return notes

    def _personalized(self) -> dict[str, float]:
        after = self._of(PERSONALIZED, self.both)
        kept = [
            client for client, value in zip(self.both, after, strict=True) if not math.isnan(value)
        ]
        metrics = {
            f"personalized/accuracy_{name}_{when}": value
            for when, model in (("before", GLOBAL), ("after", PERSONALIZED))
            for name, value in spread(self._of(model, kept)).items()
        }
        counts = {
            "clients": len(kept), "skipped": len(self.train_beats) - len(self.both), "diverged": len(self.both) - len(kept),
        }  # fmt: skip
        return metrics | {f"personalized/{name}": float(count) for name, count in counts.items()}

    def _spread(self, model: str, key: str) -> dict[str, float]:
        return {
            f"{model}/{key}_{name}": value
            for name, value in spread(self._of(model, self.both)).items()
        }

    def _of(self, model: str, clients: list[str]) -> np.ndarray:
        return np.array([self.own[model].get(client, math.nan) for client in clients])


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The fraction of (n,) beats that the (n, classes) probabilities get right; NaN if any is not finite."""
    if not np.isfinite(probabilities).all():
        return math.nan
    return float((probabilities.argmax(axis=1) == labels).mean())


def _accuracy(value: float) -> str:
    return score_text(value, undefined="diverged")
