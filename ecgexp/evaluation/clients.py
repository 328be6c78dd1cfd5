"""How well a model serves each client, and how evenly."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgexp.evaluation.confusion import confusion_scores, count_confusion


@dataclass(frozen=True, kw_only=True)
class ClientScores:
    """Scores of one model on the beats of each client, in the order of their names.

    Attributes:
      clients: (num_clients,) ids of the clients that have beats in the split.
      groups: (num_beats,) int, whose each beat is: an index into `clients`.
      beats: (num_clients,) int.
      num_classes: (num_clients,) int, classes that the client's beats are of.
      accuracy: (num_clients,).
      macro_f1: (num_clients,), over the classes that the client has; NaN for a client of one class.
      majority_accuracy: (num_clients,) of always answering the commonest class of the whole training split.
      largest_share: (num_clients,) of always answering the client's own commonest class of this split.
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
        """`accuracy_mean`, `accuracy_worst_decile` and `accuracy_best`, see `spread`; empty without clients."""
        return {f"accuracy_{name}": value for name, value in spread(self.accuracy).items()}

    def rows(self, trained: Collection[str] | None) -> list[dict[str, Any]]:
        """One row a client, worst first; `in_training` says whether it is among `trained`, and is left out for None."""
        order = np.lexsort((np.arange(len(self.clients)), self.accuracy))
        return [
            {
                "client": self.clients[i], "beats": int(self.beats[i]),
                "classes": int(self.num_classes[i]),
                **({} if trained is None else {"in_training": self.clients[i] in trained}),
                "accuracy": float(self.accuracy[i]), "macro_f1": float(self.macro_f1[i]),
                "majority_accuracy": float(self.majority_accuracy[i]), "largest_class_share": float(self.largest_share[i]),
            }
            for i in order
        ]  # fmt: skip


def score_clients(
    part: Mapping[str, np.ndarray], rows: np.ndarray, labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str],
    majority_class: int,
) -> ClientScores:  # fmt: skip
    """Scores predictions client by client.

    Args:
      part: client id -> the rows that it holds; together exactly `rows`.
      rows: (num_beats,) indices into all beats, in the order of the next two.
      labels: (num_beats,) int class index.
      predictions: (num_beats,) int, the predicted class.
      class_names: (classes,).
      majority_class: index of the commonest class of the training labels.
    """
    clients, groups = client_groups(part, rows)
    confusion = count_confusion(
        labels, predictions, num_classes=len(class_names), groups=groups, num_groups=len(clients)
    )
    scores, support = confusion_scores(confusion, class_names), confusion.sum(axis=2)
    beats = support.sum(axis=1)
    return ClientScores(
        clients=clients, groups=groups, beats=beats, num_classes=(support > 0).sum(axis=1), accuracy=scores["accuracy"],
        macro_f1=scores["macro_f1"],
        majority_accuracy=support[:, majority_class] / beats, largest_share=support.max(axis=1) / beats,
    )  # fmt: skip


def client_groups(
    part: Mapping[str, np.ndarray], rows: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """The sorted ids of the clients that hold any of `rows`, and for each row the index of its holder among them."""
    clients = tuple(sorted(client for client, held in part.items() if len(held)))
    assigned = np.concatenate([np.zeros(0, np.int64), *(part[client] for client in clients)])
    holders = np.repeat(np.arange(len(clients)), [len(part[client]) for client in clients])
    order = np.argsort(assigned)
    return clients, holders[order][np.searchsorted(assigned[order], rows)]


def spread(values: np.ndarray) -> dict[str, float]:
    """How evenly clients are served: `mean`, mean of the `worst_decile` (one client at least) and `best`.

    Args:
      values: (num_clients,) a score of each; NaN where it is not known, which is left out. Without any, the result is empty.
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
