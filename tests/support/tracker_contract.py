"""The contracts of trackers: a class of tests for each level, inherited by each tracker's tests."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pytest

from ecgexp.tracking import DatasetInput, ReadableTracker, Tracker

DATASET = DatasetInput(
    name="synthetic 1",
    digest="ab" * 32,
    source="synthetic, seed 0",
    counts={"train": {"N": 80, "V": 8}, "test": {"N": 20, "V": 2}},
)


class TrackerContract(ABC):
    """Contract of a tracker that stores what is logged."""

    kept_suffixes: tuple[str, ...] = ()  # empty: files of every kind

    @abstractmethod
    def make(self, folder: Path) -> Tracker: ...

    @abstractmethod
    def params(self, tracker: Tracker) -> dict[str, str]: ...

    @abstractmethod
    def metrics(self, tracker: Tracker) -> dict[str, list[tuple[int | None, float]]]: ...

    @abstractmethod
    def tags(self, tracker: Tracker) -> dict[str, str]: ...

    @abstractmethod
    def artifacts(self, tracker: Tracker) -> set[str]: ...

    @abstractmethod
    def ending(self, tracker: Tracker) -> tuple[str | None, str | None]: ...

    @pytest.fixture
    def tracker(self, tmp_path):
        return self.make(tmp_path / "run")

    def test_it_is_a_tracker(self, tracker):
        assert isinstance(tracker, Tracker)
        assert tracker.run_id is None or len(tracker.run_id) == 32
        assert tracker.url_hint

    def test_parameters_come_back(self, tracker):
        tracker.log_params(
            {
                "trainer.epochs": 3,
                "split.merge_same_patient": False,
                "model.name": "cnn1d",
                "seed": 0,
            }
        )
        kept = self.params(tracker)
        assert {name: str(value) for name, value in kept.items()} == {
            "trainer.epochs": "3",
            "split.merge_same_patient": "False",
            "model.name": "cnn1d",
            "seed": "0",
        }

    def test_a_parameter_keeps_its_first_value(self, tracker):
        tracker.log_params({"seed": 1})
        tracker.log_params({"seed": 1})
        with pytest.raises(ValueError, match="'seed' already has another value"):
            tracker.log_params({"seed": 2})

    def test_hundreds_of_parameters_come_back(self, tracker):
        tracker.log_params({f"group.p{i}": i for i in range(457)})
        assert len(self.params(tracker)) == 457

    def test_secrets_and_noise_seeds_are_never_kept(self, tracker):
        tracker.log_params(
            {
                "tracking.uri": "http://me:hunter2@host:5000",
                "privacy.noise_seed": 20461,
                "api_token": "hunter2",
            }
        )
        kept = " ".join(map(str, self.params(tracker).values()))
        assert "hunter2" not in kept
        assert "20461" not in kept
        assert "http://***@host:5000" in kept

    def test_metrics_come_back_with_their_steps(self, tracker):
        tracker.log_metrics({"train/loss": np.float32(0.5), "validation/f1/V": 0.25}, step=1)
        tracker.log_metrics({"train/loss": 0.25}, step=2)
        tracker.log_metrics({"test/accuracy": 0.75})
        kept = self.metrics(tracker)
        assert kept["train/loss"] == [(1, 0.5), (2, 0.25)]
        assert kept["validation/f1/V"] == [(1, 0.25)]
        assert [value for _, value in kept["test/accuracy"]] == [0.75]

    def test_one_metric_one_step_once(self, tracker):
        tracker.log_metrics({"train/loss": 0.5}, step=1)
        with pytest.raises(ValueError, match="'train/loss' already has a value at step 1"):
            tracker.log_metrics({"train/loss": 0.5}, step=1)

    def test_undefined_values_are_never_numbers(self, tracker):
        tracker.log_metrics({"a": float("nan"), "b": float("inf"), "c": -np.inf, "d": 1.0}, step=1)
        kept = self.metrics(tracker)
        assert [name for name, points in kept.items() if points] == ["d"]

    @pytest.mark.parametrize(
        "name", ["test/f1/", "test/f1//", "test/f1/é", "", "a" * 251, "../up", "a=b"]
    )
    def test_names_that_some_tracker_could_not_keep_are_refused(self, tracker, name):
        with pytest.raises(ValueError, match="metric name"):
            tracker.log_metrics({name: 1.0})
        with pytest.raises(ValueError, match="parameter name"):
            tracker.log_params({name: 1})

    def test_tags_are_replaced(self, tracker):
        tracker.set_tags({"git.commit": "old", "version.numpy": "1.26.4"})
        tracker.set_tags({"git.commit": "new"})
        kept = self.tags(tracker)
        assert kept["git.commit"] == "new"
        assert kept["version.numpy"] == "1.26.4"

    def test_every_kind_of_artifact_is_kept_under_its_path(self, tracker, tmp_path):
        import pandas
        from matplotlib.figure import Figure

        figure = Figure()
        table = pandas.DataFrame({"record_id": ["100"], "f1": [0.5]})
        (tmp_path / "config.yaml").write_text("seed: 1\n")
        tracker.log_figure(figure, "figures/confusion_matrix.png")
        tracker.log_text("in words", "privacy/statement.txt")
        tracker.log_dict({"f1": np.float32("nan"), "n": np.int64(3)}, "tables/scores.json")
        tracker.log_dict({"f1": 0.5}, "tables/scores.yaml")
        tracker.log_table(table, "tables/per_record.csv")
        tracker.log_table(table, "predictions/test.parquet")
        tracker.log_file(tmp_path / "config.yaml")
        tracker.log_file(tmp_path / "config.yaml", "inputs/hydra")
        logged = {
            "figures/confusion_matrix.png",
            "privacy/statement.txt",
            "tables/scores.json",
            "tables/scores.yaml",
            "tables/per_record.csv",
            "predictions/test.parquet",
            "config.yaml",
            "inputs/hydra/config.yaml",
        }
        kept = self.kept_suffixes or ("",)
        assert self.artifacts(tracker) >= {path for path in logged if path.endswith(kept)}

    @pytest.mark.parametrize("path", ["../x.txt", "/etc/x.txt", "a/../../x.txt", "a\\x.txt"])
    def test_artifacts_cannot_leave_the_run(self, tracker, path):
        with pytest.raises(ValueError, match="stay inside the run"):
            tracker.log_text("text", path)

    def test_datasets_are_accepted(self, tracker):
        tracker.log_dataset(DATASET)

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_the_first_ending_stays(self, tracker, status):
        assert self.ending(tracker)[0] in (None, "RUNNING")
        reason = None if status == "FINISHED" else "disk full at http://me:hunter2@host"
        tracker.finish(status, reason)
        tracker.finish("FAILED", "too late")
        assert self.ending(tracker) == (status, reason and reason.replace("me:hunter2", "***"))


class ReadableContract(TrackerContract):
    """Contract of a tracker that also knows what it has stored."""

    takes_back = True

    def test_it_is_readable(self, tracker):
        assert isinstance(tracker, ReadableTracker)

    def test_points_that_are_stored_are_known(self, tracker):
        assert tracker.points() == set()
        tracker.log_metrics({"curve/loss": 0.5, "curve/undefined": float("nan")}, step=2)
        tracker.log_metrics({"test/accuracy": 0.5})
        assert tracker.points() == {("curve/loss", 2), ("test/accuracy", None)}

    def test_points_discarded_come_again(self, tracker):
        """The last value of a step is the one that stands.

        Only MLflow keeps the one before beside it.
        """
        for step in (1, 2, 3):
            tracker.log_metrics({"curve/loss": float(step)}, step=step, at=step)
        tracker.log_metrics({"test/accuracy": 0.5}, at=4)
        tracker.discard_points(after=1)
        tracker.log_metrics({"curve/loss": 20.0}, step=2, at=5)
        kept = self.metrics(tracker)
        assert dict(kept["curve/loss"])[1] == 1.0
        assert dict(kept["curve/loss"])[2] == 20.0
        assert [value for _, value in kept["test/accuracy"]] == [0.5]
        if self.takes_back:
            assert kept["curve/loss"] == [(1, 1.0), (2, 20.0)]
        with pytest.raises(ValueError, match="'curve/loss' already has a value at step 2"):
            tracker.log_metrics({"curve/loss": 20.0}, step=2)
