"""`tracking=tensorboard` and `tracking=wandb`: what a run leaves, and what it does not tell."""

import pytest
from wandb_files import read_wandb

from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.other_settings import TensorboardTracking, WandbTracking
from ecgexp.tracking.private_folder import PrivateFolder
from ecgexp.tracking.tensorboard.events import read_points
from ecgexp.tracking.tensorboard.tracker import TensorboardTracker
from ecgexp.tracking.withholding_tracker import WithholdingTracker

SECRET = 0.123456789


def private_run(tracking, folder):
    """A run that withholds its training metrics, whose epochs end at different times."""
    tracker = tracking.start(run_name="private", run_dir=folder, hides_times=True)
    withholding = WithholdingTracker(tracker, PrivateFolder(folder))
    for step in (1, 2):
        values = {"curve/train/loss": SECRET, "curve/validation/loss": 0.5}
        withholding.log_metrics(values, step=step, at=1e9 + 100 * step)
    withholding.log_text(f"{SECRET}", "tables/partition.csv")
    withholding.log_metrics({"test/accuracy": 0.5})
    withholding.set_tags({"new.tag": f"{SECRET}"})
    withholding.finish("FINISHED")
    return tracker


def everything_but_private(folder):
    return b"".join(
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "private" not in path.relative_to(folder).parts
    )


@pytest.mark.parametrize("tracking", [TensorboardTracking(), WandbTracking()])
def test_private_run_tells_other_trackers_nothing_withheld(tracking, tmp_path):
    private_run(tracking, tmp_path)
    found = everything_but_private(tmp_path)
    assert b"curve/validation/loss" in found
    assert b"curve/train" not in found
    assert str(SECRET).encode() not in found
    assert b"new.tag" not in found


def test_private_run_writes_its_steps_to_wandb_at_the_end(tmp_path):
    """The library measures the time of each row itself, so they are written all at once."""
    tracker = WandbTracking().start(run_name="run", run_dir=tmp_path, hides_times=True)
    run = tracker._pending_queues[0].remote._run
    rows = []
    log, run.log = run.log, lambda values, step: (rows.append(step), log(values, step=step))
    for step in (1, 2):
        tracker.log_metrics({"curve/validation/loss": 0.5}, step=step)
    assert rows == []
    tracker.finish("FINISHED")
    assert rows == [1, 2]
    assert [row["_step"] for row in read_wandb(run.settings.sync_file)[0]] == [1, 2]


def test_private_run_hides_the_times_of_epochs_in_tensorboard(tmp_path):
    from ecgexp.tracking.tensorboard.events import read_events

    private_run(TensorboardTracking(), tmp_path)
    events = list(read_events(tmp_path / "tensorboard"))
    assert len({event.wall_time for event in events if event.step}) == 1


def test_resumed_run_in_tensorboard_has_each_step_once(tmp_path):
    first = TensorboardTracker(tmp_path)
    for step in (1, 2, 3):
        first.log_metrics({"curve/loss": float(step)}, step=step)
    second = TensorboardTracker(tmp_path)
    second.discard_points(after=1)
    second.log_metrics({"curve/loss": 1.0}, step=1)  # known from before: skipped
    second.log_metrics({"curve/loss": 20.0}, step=2)
    assert read_points(tmp_path) == {"curve/loss": {1: 1.0, 2: 20.0}}


def test_wandb_that_is_not_installed_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tracking=wandb: .* is not installed; use .*wandb"):
        WandbTracking().start(run_name="run", run_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_wandb_records_neither_machine_nor_code(tmp_path):
    tracker = WandbTracking().start(run_name="run", run_dir=tmp_path)
    settings = tracker._pending_queues[0].remote._run.settings
    tracker.finish("FINISHED")
    assert settings.x_disable_stats
    assert settings.x_disable_meta
    files = {path.name for path in (tmp_path / "wandb").rglob("*") if path.is_file()}
    assert not files & {"requirements.txt", "wandb-metadata.json", "output.log"}
