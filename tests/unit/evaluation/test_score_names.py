"""The names of an epoch's scores are those that are computed."""

import numpy as np
import pytest

from ecgexp.evaluation.clients import spread
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.evaluation.score_names import epoch_score_names


@pytest.mark.parametrize("classes", [("N", "S", "V", "F"), ("N", "/"), ("N", "V")])
def test_score_names_are_the_keys_of_the_computed_scores(classes):
    scores = quick_scores(np.zeros(1, int), np.full((1, len(classes)), 1 / len(classes)), classes)
    assert epoch_score_names(classes, has_clients=False) == set(scores.values)


def test_score_names_of_clients_are_those_of_their_spread():
    of_clients = {f"clients/accuracy_{name}" for name in spread(np.zeros(1))}
    classes = ("N", "V")
    with_clients = epoch_score_names(classes, has_clients=True)
    assert with_clients - epoch_score_names(classes, has_clients=False) == of_clients
