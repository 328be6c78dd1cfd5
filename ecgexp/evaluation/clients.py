"""Scores of a model on the beats of each client, and their distribution over clients."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgexp.evaluation.confusion import confusion_scores, count_confusion


@dataclass(frozen=True, kw_only=True)
class ClientScores:
    """Scores of one model on the beats of each client, in the order of their names.

    Attributes:
      clients: Ids of the clients with beats in the split.
      groups: (num_beats,) int64, the client of each beat, an index into `clients`.
      beats: (num_clients,) int64, beats of each client.
      num_classes: (num_clients,) int64, classes with beats of the client.
      accuracy: (num_clients,) float64.
      macro_f1: (num_clients,) float64, over the classes of the client; NaN for a client of one
        class.
      majority_accuracy: (num_clients,) float64, accuracy of the majority-class baseline of the
        whole training split.
      largest_share: (num_clients,) float64, accuracy of the majority-class baseline of the client's
        own beats in this split.
    """

    clients: tuple[str, ...]
    groups: np.ndarray
    beats: np.ndarray
    num_classes: np.ndarray
    accuracy: np.ndarray
    macro_f1: np.ndarray
    majority_accuracy: np.ndarray
    largest_share: np.ndarray

    def spread(self) -> dict[str, float]:
        """Return `accuracy_mean`, `accuracy_worst_decile` and `accuracy_best`, see `spread`."""
        return {f"accuracy_{name}": value for name, value in spread(self.accuracy).items()}

    def rows(self, trained: Collection[str] | None) -> list[dict[str, Any]]:
        """Return one row per client, in the order of increasing accuracy.

        Args:
          trained: Clients that took part in training, for the column `in_training`; None: no such
            column.

        Returns:
          Rows with the columns of `tables/test_per_client.csv`.
        """
        order = np.lexsort((np.arange(len(self.clients)), self.accuracy))
        return [
            {
                "client": self.clients[i],
                "beats": int(self.beats[i]),
                "classes": int(self.num_classes[i]),
                **({} if trained is None else {"in_training": self.clients[i] in trained}),
                "accuracy": float(self.accuracy[i]),
                "macro_f1": float(self.macro_f1[i]),
                "majority_accuracy": float(self.majority_accuracy[i]),
                "largest_class_share": float(self.largest_share[i]),
            }
            for i in order
        ]


def score_clients(
    part: Mapping[str, np.ndarray],
    rows: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    class_names: Sequence[str],
    majority_class: int,
) -> ClientScores:
    """Score the predictions of each client.

    Args:
      part: Client id -> rows of the client; together exactly `rows`.
      rows: (num_beats,) int64, indices into all beats, in the order of the next two arguments.
      labels: (num_beats,) int, class index.
      predictions: (num_beats,) int, the predicted class.
      class_names: Names of the classes, in the order of the labels.
      majority_class: Index of the most frequent class of the training labels.

    Returns:
      The scores.
    """
    clients, groups = client_groups(part, rows)
    confusion = count_confusion(
        labels, predictions, num_classes=len(class_names), groups=groups, num_groups=len(clients)
    )
    scores, support = confusion_scores(confusion, class_names), confusion.sum(axis=2)
    beats = support.sum(axis=1)
    return ClientScores(
        clients=clients,
        groups=groups,
        beats=beats,
        num_classes=(support > 0).sum(axis=1),
        accuracy=scores["accuracy"],
        macro_f1=scores["macro_f1"],
        majority_accuracy=support[:, majority_class] / beats,
        largest_share=support.max(axis=1) / beats,
    )


def client_groups(
    part: Mapping[str, np.ndarray], rows: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the client of each row.

    Args:
      part: Client id -> rows of the client; together exactly `rows`.
      rows: (num_rows,) int64.

    Returns:
      clients: Sorted ids of the clients with rows.
      groups: (num_rows,) int64, index of the client of each row.
    """
    clients = tuple(sorted(client for client, assigned in part.items() if len(assigned)))
    assigned = np.concatenate([np.zeros(0, np.int64), *(part[client] for client in clients)])
    holders = np.repeat(np.arange(len(clients)), [len(part[client]) for client in clients])
    order = np.argsort(assigned)
    return clients, holders[order][np.searchsorted(assigned[order], rows)]


def spread(values: np.ndarray) -> dict[str, float]:
    """Summarize the scores of clients.

    Args:
      values: (num_clients,) float64; NaN, for an unknown score, is left out.

    Returns:
      `mean`, `worst_decile` (mean of the lowest tenth, at least one client) and `best`; empty
      without scores.
    """
    ordered = np.sort(values[~np.isnan(values)])
    if not len(ordered):
        return {}
    worst = ordered[: max(1, len(ordered) // 10)]
    return {
        "mean": float(ordered.mean()),
        "worst_decile": float(worst.mean()),
        "best": float(ordered[-1]),
    }
