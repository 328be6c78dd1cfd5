"""Comparison of a federated model with its baselines on the same test beats, by client."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgexp.evaluation.clients import ClientScores, spread
from ecgexp.formatting import score_text

GLOBAL, LOCAL_ONLY, PERSONALIZED, POOLED = "global", "local_only", "personalized", "pooled"
_MOST_NAMED = 5
LABELS = {
    GLOBAL: "global",
    LOCAL_ONLY: "local only",
    PERSONALIZED: "personalized",
    POOLED: "pooled",
}


@dataclass(kw_only=True)
class BaselineComparison:
    """Scores of the global model and its baselines, added as the baselines are trained.

    NaN is the score of a model whose training diverged.

    Attributes:
      scores: Scores of the final global model on the test beats.
      train_beats: Client id -> number of training beats, for the training clients.
      own: Model -> client id -> accuracy on the client's own test beats; a baseline that was not
        requested has no entry.
      everywhere: Client id -> accuracy of the client's local-only model on all test beats.
      overall: Model -> name -> score on all test beats, for `global` and `pooled`.
      one_class: Clients whose training beats have a single class.
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
        """The training clients that have test beats, sorted."""
        return sorted(set(self.train_beats) & set(self.scores.clients))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per client, sorted by name.

        Returns:
          Rows with the columns client, in_training, train_beats, test_beats; largest_class_share,
          the accuracy of the majority-class baseline of its own test beats; `<model>_accuracy` on
          its own test beats for each model; and local_only_test_accuracy, of its local-only model
          on all test beats. Unknown scores are NaN.
        """
        place = {client: i for i, client in enumerate(self.scores.clients)}
        rows = []
        for client in sorted({*self.train_beats, *place}):
            i = place.get(client)
            largest_share = math.nan if i is None else float(self.scores.largest_share[i])
            row = {
                "client": client,
                "in_training": client in self.train_beats,
                "train_beats": self.train_beats.get(client, 0),
                "test_beats": 0 if i is None else int(self.scores.beats[i]),
                "largest_class_share": largest_share,
            }
            row |= {
                f"{model}_accuracy": known.get(client, math.nan)
                for model, known in self.own.items()
            }
            if LOCAL_ONLY in self.own:
                row["local_only_test_accuracy"] = self.everywhere.get(client, math.nan)
            rows.append(row)
        return rows

    def metrics(self) -> dict[str, float]:
        """Return `federated_baseline/<model>/<metric>`, without unknown scores.

        `own_accuracy_…` is over the clients of `both` for every model, so that models are
        comparable.
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
        """Return lines for the console: accuracy on all test beats, and on each client's own."""
        overall = [
            f"{LABELS[model]} {_accuracy(known['accuracy'])}"
            for model, known in self.overall.items()
        ]
        if local_only := spread(np.array(list(self.everywhere.values()))):
            overall.append(f"{LABELS[LOCAL_ONLY]} {local_only['mean']:.3f} on average")
        lines = [f"accuracy on all {self.scores.beats.sum()} test beats: {' · '.join(overall)}"]
        if self.both:
            each = {model: self._spread(model, "own") for model in self.own}
            parts = [
                f"{LABELS[model]} {found[f'{model}/own_mean']:.3f} and "
                f"{found[f'{model}/own_worst_decile']:.3f}"
                for model, found in each.items()
                if found
            ]
            clients = f"{len(self.both)} client{'s' if len(self.both) > 1 else ''}"
            lines.append(
                f"accuracy on own test beats, mean and worst decile of {clients}: "
                f"{' · '.join(parts)}"
            )
        return lines

    def notes(self) -> list[str]:
        """Return limitations of the comparison: clients that are left out or have one class."""
        notes = []
        if not self.both and (LOCAL_ONLY in self.own or PERSONALIZED in self.own):
            notes.append(
                "no training client has test beats of its own under this split, so that clients "
                "could not be compared on them; use split=intra_patient"
            )
        for model, known in {
            LOCAL_ONLY: self.everywhere,
            PERSONALIZED: self.own.get(PERSONALIZED, {}),
        }.items():
            if diverged := sorted(client for client, value in known.items() if math.isnan(value)):
                notes.append(
                    f"{LABELS[model]}: the training of {', '.join(diverged)} diverged; left out"
                )
            if known and (few := sorted(set(self.one_class) & set(known))):
                named = ", ".join(few[:_MOST_NAMED]) + (", …" if len(few) > _MOST_NAMED else "")
                notes.append(
                    f"{LABELS[model]}: {len(few)} of {len(known)} clients ({named}) were trained "
                    "on beats of one class, so that their models cannot distinguish classes"
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
            "clients": len(kept),
            "skipped": len(self.train_beats) - len(self.both),
            "diverged": len(self.both) - len(kept),
        }
        return metrics | {f"personalized/{name}": float(count) for name, count in counts.items()}

    def _spread(self, model: str, key: str) -> dict[str, float]:
        return {
            f"{model}/{key}_{name}": value
            for name, value in spread(self._of(model, self.both)).items()
        }

    def _of(self, model: str, clients: list[str]) -> np.ndarray:
        return np.array([self.own[model].get(client, math.nan) for client in clients])


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute accuracy.

    Args:
      labels: (num_beats,) int, class index.
      probabilities: (num_beats, num_classes) float.

    Returns:
      The share of correct predictions; NaN if a probability is not finite.
    """
    if not np.isfinite(probabilities).all():
        return math.nan
    return float((probabilities.argmax(axis=1) == labels).mean())


def _accuracy(value: float) -> str:
    return score_text(value, undefined="diverged")
