"""What a federated model is held against.

What is refused, what is trained, and one run that does it all.
"""

import dataclasses

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.console import Console
from ecgexp.experiment.federated_baselines import evaluate_baselines
from ecgexp.privacy.ledger import Ledger
from ecgexp.seeding import Seeds
from ecgexp.tracking import MemoryTracker
from ecgexp.tracking.settings import NoTracking
from ecgexp.training.model_selection import ModelSelector

SMALL = [
    "trainer=federated",
    "dataset.num_patients=6",
    "dataset.minutes=0.8",
    "trainer.num_rounds=2",
    "model.filters=[4]",
    "model.kernel_sizes=[3]",
    "model.dense_units=4",
    "trainer.client_learning_rate=0.2",
    "num_resamples=0",
    "tracking=none",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return f"data.cache_dir={tmp_path_factory.mktemp('cache')}"


class RunComparison:
    """The comparisons of a federated model that is not trained at all: its final weights are the
    initial ones.

    Attributes:
      comparison: the result.
      initial: the weights.
      predicted: (weights, rows) of every prediction, in order.
    """

    def __init__(self, *overrides):
        from ecgexp.experiment.training_loop import TrainingLoop

        experiment = load_experiment([*SMALL, *overrides])
        self.run_data = experiment.load_run_data(Seeds(0), lambda *_: None)
        plan = experiment.trainer.plan(experiment.privacy, self.run_data.data)
        training_loop = TrainingLoop(experiment, self.run_data, Seeds(0), Ledger(plan))
        model_selector = ModelSelector(experiment.selection, is_private=False)
        model_selector.weights = self.initial = training_loop.runtime.build().get_weights()
        probabilities = training_loop.probabilities(
            model_selector.weights, self.run_data.split.test
        )
        plain, self.predicted = training_loop.probabilities, []

        def recorded(weights, rows):
            self.predicted.append((weights, rows))
            return plain(weights, rows)

        training_loop.probabilities = recorded
        self.comparison = evaluate_baselines(
            experiment, self.run_data, training_loop, model_selector, probabilities, Console()
        )


def test_a_client_that_holds_everything_learns_alone_what_pooled_training_learns(cache):
    made = RunComparison(
        cache,
        "split=intra_patient",
        "partition=iid",
        "partition.num_clients=1",
        "federated_baselines.local_only=true",
        "federated_baselines.pooled=true",
        "selection.weights=last",
    )
    comparison, (alone, _), (pooled, rows) = made.comparison, made.predicted[0], made.predicted[-1]
    assert np.array_equal(rows, made.run_data.split.test)
    assert all(np.array_equal(a, b) for a, b in zip(alone, pooled, strict=True))
    assert comparison.everywhere == {"client00": comparison.overall["pooled"]["accuracy"]}
    assert comparison.own["local_only"] == comparison.own["pooled"]
    assert not any(np.array_equal(a, b) for a, b in zip(alone, made.initial, strict=True))
    assert "personalized" not in comparison.own


def test_a_comparison_that_diverges_does_not_end_the_run(cache):
    made = RunComparison(
        cache,
        "split=intra_patient",
        "partition=iid",
        "partition.num_clients=2",
        "trainer.client_learning_rate=1e30",
        "federated_baselines.local_only=true",
        "federated_baselines.pooled=true",
    )
    assert made.comparison.metrics()["federated_baseline/local_only/diverged"] == 2
    assert "pooled diverged" in made.comparison.lines()[0]


class InMemory:
    """Tracking that writes nothing: a dozen figures take as long as the training."""

    shown_in = ""
    is_readable = True

    def __init__(self):
        self.tracker = MemoryTracker()

    def private_dir(self):
        return NoTracking().private_dir()

    def check(self):
        pass

    def start(self, *, run_name, run_dir, resume_run_id=None, hides_times=False):
        return self.tracker


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    from ecgexp.experiment.run import run

    asked = [
        "federated_baselines.local_only=true",
        "federated_baselines.pooled=true",
        "federated_baselines.personalize_epochs=1",
    ]
    experiment = load_experiment(
        [*SMALL, cache, "split=intra_patient", "selection.weights=last", *asked]
    )
    tracking = InMemory()
    result = run(
        dataclasses.replace(experiment, tracking=tracking),
        tmp_path_factory.mktemp("run"),
        config={},
    )
    return result.metrics, tracking.tracker


@pytest.mark.slow
class TestARunWithAllComparisons:
    def test_every_round_tells_how_evenly_the_clients_are_served(self, finished):
        metrics, tracker = finished
        for name in ("mean", "worst_decile", "best"):
            curve = tracker.metrics[f"curve/validation/clients/accuracy_{name}"]
            assert [step for step, _ in curve] == [1, 2]
            assert metrics[f"validation/clients/accuracy_{name}"] == pytest.approx(curve[-1][1])

    def test_the_clients_table_is_that_of_the_predictions(self, finished):
        _, tracker = finished
        predicted = tracker.artifacts["predictions/test.parquet"]
        right = (predicted["class"] == predicted["predicted"]).groupby(predicted["patient"]).mean()
        table = tracker.artifacts["tables/test_per_client.csv"].set_index("client")
        assert table["accuracy"].to_dict() == pytest.approx(right.to_dict())
        assert table["in_training"].all()

    def test_the_models_stand_side_by_side(self, finished):
        metrics, tracker = finished
        table = tracker.artifacts["tables/comparison_per_client.csv"].set_index("client")
        clients = tracker.artifacts["tables/test_per_client.csv"].set_index("client")
        assert table["global_accuracy"].to_dict() == pytest.approx(clients["accuracy"].to_dict())
        values = table.mean(numeric_only=True)
        assert metrics["federated_baseline/global/own_accuracy_mean"] == pytest.approx(
            metrics["test/clients/accuracy_mean"]
        )
        assert metrics["federated_baseline/personalized/accuracy_mean_before"] == pytest.approx(
            values["global_accuracy"]
        )
        assert metrics["federated_baseline/personalized/accuracy_mean_after"] == pytest.approx(
            values["personalized_accuracy"]
        )
        assert metrics["federated_baseline/local_only/own_accuracy_mean"] == pytest.approx(
            values["local_only_accuracy"]
        )
        assert metrics["federated_baseline/local_only/test_accuracy_mean"] == pytest.approx(
            values["local_only_test_accuracy"]
        )
        weighted = np.average(table["pooled_accuracy"], weights=table["test_beats"])
        assert metrics["federated_baseline/pooled/accuracy"] == pytest.approx(weighted)

    def test_the_tracker_has_what_the_result_has(self, finished):
        metrics, tracker = finished
        for name in ("test/clients/accuracy_mean", "federated_baseline/pooled/macro_f1"):
            assert tracker.metrics[name] == [(None, metrics[name])]
        for name in ("test_per_client", "validation_per_client", "comparison_per_client"):
            assert tracker.artifacts[f"figures/{name}.png"].axes
