"""What a run with a privacy guarantee keeps to itself.

Nothing that tells of training beats reaches a tracker, log or message.
"""

import json
import logging
import os
import signal
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest

from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.tracking import DatasetInput, JsonlTracker, MemoryTracker, MirroredTracker, Tracker
from ecgexp.tracking.local.result import Result
from ecgexp.tracking.mirrored import RETRY_AFTER_S
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.tracking.publishing import Publishing, Withholding
from ecgexp.tracking.withholding_tracker import WithholdingTracker

SECRET = "0.123456"


@pytest.fixture
def published():
    return MemoryTracker()


@pytest.fixture
def tracker(published, tmp_path):
    return WithholdingTracker(published, PrivateFolder(tmp_path))


def everything(tracker):
    return " ".join(
        map(
            str,
            (
                tracker.params,
                tracker.metrics,
                tracker.tags,
                list(tracker.artifacts),
                tracker.reason,
            ),
        )
    )


def private(tmp_path):
    return {
        str(path.relative_to(tmp_path / "private")): path
        for path in (tmp_path / "private").rglob("*")
        if path.is_file()
    }


def test_it_is_a_tracker(tracker):
    assert isinstance(tracker, Tracker)


@pytest.mark.parametrize(
    "name",
    [
        "curve/train/loss",
        "curve/train/batch_size",
        "train/loss",
        "data/new",
        "federated_baseline/x",
    ],
)
def test_a_training_or_unknown_metric_goes_to_private(tracker, published, tmp_path, name):
    tracker.log_metrics({name: 0.123456, "test/accuracy": 0.5}, step=3)
    assert list(published.metrics) == ["test/accuracy"]
    line = json.loads((tmp_path / "private" / "metrics.jsonl").read_text())
    assert (line["step"], line["metrics"]) == (3, {name: 0.123456})


def test_points_discarded_are_gone_from_both_places(tracker, published, tmp_path):
    for step in (1, 2, 3):
        tracker.log_metrics(
            {"curve/train/loss": 0.1 * step, "curve/validation/loss": 0.2 * step}, step=step
        )
    tracker.discard_points(after=1)
    tracker.log_metrics({"curve/train/loss": 0.5, "curve/validation/loss": 0.6}, step=2)
    assert published.metrics["curve/validation/loss"] == [(1, 0.2), (2, 0.6)]
    lines = [
        json.loads(line)
        for line in (tmp_path / "private" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [(line["step"], line["metrics"]["curve/train/loss"]) for line in lines] == [
        (1, 0.1),
        (2, 0.5),
    ]


def test_a_call_with_withheld_metrics_alone_tells_nothing(tracker, published):
    tracker.log_metrics({"curve/train/loss": 0.5}, step=1)
    assert not published.metrics


def test_epochs_bear_no_time_of_their_own(tmp_path):
    tracker = WithholdingTracker(JsonlTracker(tmp_path), PrivateFolder(tmp_path))
    for step in (1, 2, 3):
        tracker.log_metrics({"curve/validation/loss": 0.5}, step=step, at=1e9 + step)
    times = {
        json.loads(line)["time"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    }
    assert len(times) == 1


def test_unknown_tags_and_parameters_go_to_private(tracker, published, tmp_path):
    tracker.set_tags({"git.commit": "ab", "classes.train": SECRET})
    tracker.log_params({"trainer.epochs": 3, "learned.prior": SECRET})
    tracker.set_tags({"second": SECRET})
    assert SECRET not in everything(published)
    kept = json.loads((tmp_path / "private" / "values.json").read_text())
    assert kept == {
        "tags": {"classes.train": SECRET, "second": SECRET},
        "params": {"learned.prior": SECRET},
    }


def test_files_of_training_beats_and_unknown_ones_go_to_private(tracker, published, tmp_path):
    import pandas
    from matplotlib.figure import Figure

    (tmp_path / "new.txt").write_text(SECRET)
    tracker.log_figure(Figure(), "figures/learning_curves.png")
    tracker.log_table(pandas.DataFrame({"client": ["100"]}), "tables/partition.csv")
    tracker.log_table(pandas.DataFrame({"client": ["100"]}), "predictions/train.parquet")
    tracker.log_text(SECRET, "tables/train_summary.md")
    tracker.log_dict({"a": SECRET}, "new.json")
    tracker.log_file(tmp_path / "new.txt", "inputs")
    tracker.log_text("published", "privacy_statement.txt")
    assert list(published.artifacts) == ["privacy_statement.txt"]
    assert set(private(tmp_path)) == {
        "figures/learning_curves.png",
        "tables/partition.csv",
        "predictions/train.parquet",
        "tables/train_summary.md",
        "new.json",
        "inputs/new.txt",
    }


def test_a_file_of_result_keys_is_divided(published, tmp_path):
    tracker = WithholdingTracker(JsonlTracker(tmp_path), PrivateFolder(tmp_path))
    tracker.log_dict(
        {"beats": {"train": {"N": 7}, "test": {"N": 1}}, "dropped": {"record 100": 3}}, "data.json"
    )
    assert json.loads((tmp_path / "data.json").read_text()) == {"beats": {"test": {"N": 1}}}
    kept = json.loads((tmp_path / "private" / "data.json").read_text())
    assert kept == {"beats": {"train": {"N": 7}}, "dropped": {"record 100": 3}}


def test_a_dataset_is_published_without_training_counts(tmp_path):
    tracker = WithholdingTracker(JsonlTracker(tmp_path), PrivateFolder(tmp_path))
    counts = {"train": {"N": 80}, "validation": {"N": 5}, "test": {"N": 20}}
    tracker.log_dataset(DatasetInput(name="mine", digest="ab" * 32, source="mine", counts=counts))
    published = json.loads((tmp_path / "run.json").read_text())["datasets"][0]
    assert published["counts"] == {"validation": {"N": 5}, "test": {"N": 20}}
    assert (
        json.loads((tmp_path / "private" / "values.json").read_text())["dataset"]["counts"]
        == counts
    )


def test_private_files_are_for_their_owner_only(tracker, tmp_path):
    before = os.umask(0)
    try:
        tracker.log_metrics({"curve/train/loss": 0.5}, step=1)
        tracker.log_text(SECRET, "tables/train.md")
        tracker.set_tags({"secret": SECRET})
    finally:
        os.umask(before)
    for path in [tmp_path / "private", *(tmp_path / "private").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_private_file_is_not_written_through_a_link(tracker, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link|loop"):
        tracker.log_metrics({"curve/train/loss": 0.5}, step=1)


def test_a_resumed_run_repeats_no_private_point(published, tmp_path):
    for _ in range(2):
        tracker = WithholdingTracker(MemoryTracker(), PrivateFolder(tmp_path))
        tracker.log_metrics({"curve/train/loss": 0.5}, step=1)
    assert len((tmp_path / "private" / "metrics.jsonl").read_text().splitlines()) == 1


class Silent(MemoryTracker):
    """A remote store that answers only when it is switched on."""

    answers = False

    def log_metrics(self, metrics, *, step=None, at=None):
        from ecgexp.tracking.base import TrackerUnavailable

        if not self.answers:
            raise TrackerUnavailable("away")
        super().log_metrics(metrics, step=step, at=at)


def test_entries_sent_later_are_the_published_ones(tmp_path):
    remote, clock = Silent(), [0.0]
    mirrored = MirroredTracker(JsonlTracker(tmp_path), [remote], clock=lambda: clock[0])
    tracker = WithholdingTracker(mirrored, PrivateFolder(tmp_path))
    tracker.log_metrics({"curve/train/loss": 0.123456, "curve/validation/loss": 0.5}, step=1)
    remote.answers, clock[0] = True, 2 * RETRY_AFTER_S
    tracker.finish("FINISHED")
    assert list(remote.metrics) == ["curve/validation/loss"]
    whole = (tmp_path / "metrics.jsonl").read_text() + (
        tmp_path / "run.json"
    ).read_text()  # all that ecgexp-sync reads
    assert SECRET not in whole
    assert "curve/train" not in whole


def test_a_result_is_published_without_what_tells_of_training(tmp_path):
    withholding = Withholding(tmp_path)
    result = Result(
        status="FINISHED",
        metrics={"test/accuracy": 0.5, "train/loss": 0.123456},
        undefined={"train/f1": "no"},
        data={
            "database": "mine",
            "beats": {"train": {"N": 9}, "test": {"N": 1}},
            "notes": ["no S"],
        },
        privacy={"epsilon": 1.0},
    )
    published = withholding.result(result)
    assert published.metrics == {"test/accuracy": 0.5}
    assert published.undefined == {}
    assert published.data == {"database": "mine", "beats": {"test": {"N": 1}}}
    assert published.privacy == {"epsilon": 1.0}
    kept = json.loads((tmp_path / "private" / "values.json").read_text())
    assert kept["data"] == {"beats": {"train": {"N": 9}}, "notes": ["no S"]}
    assert kept["metrics"] == {"train/loss": 0.123456}


def raised(error):
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - whatever it is
        return caught


class Strange(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


@pytest.mark.parametrize(
    "error",
    [
        DataError(f"beat {SECRET}"),
        ConfigError(f"client {SECRET}"),
        KeyError(SECRET),
        Strange(SECRET, SECRET),
        OSError(2, "No such file", f"/data/{SECRET}.dat"),
        np.linalg.LinAlgError(SECRET),
    ],
)
def test_an_error_that_may_quote_beats_is_withheld(tmp_path, error):
    published = Withholding(tmp_path).error(raised(error))
    assert SECRET not in f"{published!r} {published} {vars(published)}"
    assert isinstance(published, type(error) if not isinstance(error, Strange) else RuntimeError)
    kept = private(tmp_path)["error.txt"]
    assert SECRET in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    if not isinstance(error, OSError):
        assert f"{tmp_path}/private/error.txt" in str(published)


def test_error_about_settings_is_reported_unchanged(tmp_path):
    from ecgexp.privacy.settings import PrivacySpec

    with pytest.raises(ConfigError) as caught:
        PrivacySpec(noise_multiplier=1.0).plan(num_units=10, expected_batch_size=64, epochs=1)
    assert Withholding(tmp_path).error(caught.value) is caught.value
    assert Withholding(tmp_path).error(KeyboardInterrupt()).args == ()
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize("name", ["tensorflow", "absl"])
def test_log_lines_of_handlers_added_later_go_to_private(tmp_path, name):
    written, logger = tmp_path / "console.log", logging.getLogger(name)
    handler = logging.FileHandler(written)
    try:
        with Withholding(tmp_path).logging():
            logger.addHandler(handler)
            logger.warning("a batch of %s rows", SECRET)
        logger.warning("after the run")
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert "after the run" in written.read_text()
    assert SECRET not in written.read_text()
    assert private(tmp_path)["ecgexp.log"].read_text().count(SECRET) == 1


def test_log_lines_about_beats_go_to_private(tmp_path):
    written = tmp_path / "ecgexp.log"
    handler, root = logging.FileHandler(written), logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with Withholding(tmp_path).logging():
            logging.getLogger("ecgexp.data.leakage").warning("patient %s", SECRET)
            logging.getLogger("somebody.else").error("row %s", SECRET)
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn(f"least populated class has {SECRET} members", stacklevel=1)
            logging.getLogger("ecgexp.tracking.mirrored").warning("the store does not answer")
        logging.getLogger("ecgexp.data.leakage").warning("after the run")
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()
    assert SECRET not in written.read_text()
    assert "does not answer" in written.read_text()
    assert "after the run" in written.read_text()
    kept = private(tmp_path)["ecgexp.log"].read_text()
    assert kept.count(SECRET) == 3
    assert "does not answer" not in kept


def test_the_console_shows_scores_and_no_progress_of_training(tmp_path):
    withholding = Withholding(tmp_path)
    assert withholding.tells("summary")
    assert withholding.tells("statement")
    assert not withholding.tells("progress")
    assert not withholding.tells("something new")


def test_a_run_without_a_guarantee_publishes_as_it_is(published):
    publishing, result, error = (
        Publishing(),
        Result(status="FINISHED", metrics={"train/x": 1.0}),
        DataError("row 3"),
    )
    assert publishing.tracker(published) is published
    assert publishing.result(result) is result
    assert publishing.error(error) is error
    assert publishing.tells("anything")


@pytest.mark.parametrize("change", ["values", "points"])
def test_private_file_killed_while_written_is_as_before(tmp_path, change, killed_while):
    folder = PrivateFolder(tmp_path)
    folder.add_values({"tags": {"a": "b"}})
    folder.add_metrics({"curve/train/loss": 1.0}, 1)
    folder.add_metrics({"curve/train/loss": 2.0}, 2)
    before = {name: path.read_text() for name, path in private(tmp_path).items()}

    def work():
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        if change == "values":
            folder.add_values({"tags": {"c": "d"}})
        else:
            folder.discard_points(after=1)

    killed_while(work)
    after = private(tmp_path)
    (part,) = set(after) - set(before)
    assert stat.S_IMODE(after[part].stat().st_mode) == 0o600
    assert {name: after[name].read_text() for name in before} == before
    PrivateFolder(tmp_path).add_values({"tags": {"c": "d"}})


@pytest.mark.parametrize("name", ["metrics.jsonl", "values.json", "error.txt", "ecgexp.log"])
@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")],
    ids=["dir", "fifo", "link"],
)
def test_private_file_that_is_no_plain_file_is_refused(tmp_path, name, make):
    (tmp_path / "private").mkdir()
    make(tmp_path / "private" / name)
    with pytest.raises(DataError, match=rf"private/{name} is not a regular file; remove it"):
        PrivateFolder(tmp_path)
