"""`ecgexp-doctor --clean`: what is shown, what is freed, and what must stay."""

import json

import pytest
from finished_runs import CENTRALIZED, failed, finished, guarantee, private

from ecgexp.analysis.disk_use import disk_use, remove
from ecgexp.cli.doctor import main
from ecgexp.settings.declaration import DataError
from ecgexp.tracking import JsonlTracker


def change(folder, **values):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache, and runs of which only some may be removed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("ECGEXP_CACHE", raising=False)
    cache, outputs = tmp_path / ".cache", tmp_path / "outputs" / "e"
    (cache / "arrays").mkdir(parents=True)
    (cache / "arrays" / "a.npy").write_bytes(b"x" * 3_000_000)
    (cache / "beats-1.json").touch()
    (cache / "mine.txt").touch()
    failed(outputs / "failed", reason="no", params=CENTRALIZED)
    finished(outputs / "only_copy", params=CENTRALIZED)
    secret = failed(outputs / "secret", reason="no", params=private(1.1))
    (secret / "privacy_journal.jsonl").touch()
    behind = failed(outputs / "behind", reason="no", params=CENTRALIZED)
    change(behind, store={"uri": "sqlite:///x", "whole": False})
    for sweep, status in (("over", "FINISHED"), ("open", "FAILED")):
        job = failed(outputs / sweep / "0", reason="no", params=CENTRALIZED)
        change(job, tags={"sweep": sweep})
        parent = JsonlTracker(outputs / "sweeps" / sweep / "parent")
        parent.set_tags({"sweep.role": "parent"})
        parent.finish(status)
    return tmp_path


def kept(place, **options):
    items = disk_use(
        cache_dir=place / ".cache",
        runs_dir=place / "outputs",
        uri=None,
        private_dir=place / "private",
        **options,
    )
    return {str(item.path.relative_to(place)): item.kept for item in items}


def test_what_must_stay_is_kept_with_its_reason(place):
    reasons = kept(place)
    assert {name for name, reason in reasons.items() if not reason} == {
        ".cache/arrays",
        ".cache/beats-1.json",
        "outputs/e/failed",
    }
    assert "only copy" in reasons["outputs/e/only_copy"]
    assert "only record of its privacy loss" in reasons["outputs/e/secret"]
    assert "ecgexp-sync" in reasons["outputs/e/behind"]
    assert "has not finished" in reasons["outputs/e/open/0"]
    assert "--with-sweeps" in reasons["outputs/e/over/0"]
    with_sweeps = kept(place, with_sweeps=True)
    assert with_sweeps["outputs/e/over/0"] == ""
    assert "has not finished" in with_sweeps["outputs/e/open/0"]


def test_a_running_run_keeps_itself_and_the_cache(place):
    running = JsonlTracker(place / "outputs" / "e" / "running")
    running.log_params(CENTRALIZED)
    reasons = kept(place)
    assert "running" in reasons["outputs/e/running"]
    assert reasons[".cache/arrays"] == "1 run is running"


def test_a_private_run_with_a_recorded_loss_may_be_removed(place, monkeypatch):
    from types import SimpleNamespace

    from ecgexp.analysis import disk_use as module

    secret = SimpleNamespace(run_dir=str(place / "outputs/e/secret"))
    monkeypatch.setattr(module, "Losses", lambda _: SimpleNamespace(all=lambda: [secret]))
    assert kept(place)["outputs/e/secret"] == ""


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ((), ""),
        (("--free", "cache"), ""),  # without a terminal there is no answer
        (("--free", "cache", "--yes"), ".cache/arrays .cache/beats-1.json"),
        (("--free", "runs", "--older-than", "1", "--yes"), ""),
        (("--free", "runs", "--older-than", "0", "--yes"), "outputs/e/failed"),
        (
            ("--free", "all", "--older-than", "0", "--with-sweeps", "--yes"),
            ".cache/arrays .cache/beats-1.json outputs/e/failed outputs/e/over/0",
        ),
    ],
)
def test_only_what_is_named_is_removed(place, capsys, words, gone):
    before = {path for path in place.rglob("*") if path.name != ".lock"}
    assert main(["--clean", *words]) == 0
    after = {path for path in place.rglob("*") if path.name != ".lock"}
    removed = {path for path in before - after if path.parent not in before - after}
    assert {str(path.relative_to(place)) for path in removed} == set(gone.split())
    assert not after - before
    said = capsys.readouterr().out
    assert "preprocessed beats: 2 items, 3 MB" in said
    assert "private folder of the store" in said


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--clean", "--free", "runs"), "use --older-than"),
        (("--free", "cache"), "use --clean --free cache"),
    ],
)
def test_options_that_do_not_fit_are_refused(place, capsys, words, remedy):
    try:
        code = main(list(words))
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert remedy in capsys.readouterr().err


def test_a_kept_item_is_never_removed(place):
    items = disk_use(
        cache_dir=place / ".cache",
        runs_dir=place / "outputs",
        uri=None,
        private_dir=place / "private",
    )
    (secret,) = (item for item in items if item.path.name == "secret")
    with pytest.raises(DataError, match="it is kept: .*privacy loss"):
        remove(secret)
    assert secret.path.is_dir()


def test_guarantee_of_a_finished_private_run_needs_its_record(place):
    finished(place / "outputs/e/done", params=private(1.1), privacy=guarantee(2.0))
    assert "only record of its privacy loss" in kept(place)["outputs/e/done"]
