"""Which earlier runs a job of a sweep uses, without training."""

from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus

from ecgexp.cli import job as module
from ecgexp.cli import running
from ecgexp.config.sweep_settings import SweepSettings
from ecgexp.settings.declaration import JobFailed, Pruned
from ecgexp.sweeps.attempts import Attempt
from ecgexp.sweeps.sweep import Sweep
from ecgexp.tracking.local.result import Result

DIGEST = "d" * 64


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_data_digest", lambda *_: "beats")
    sweep = Sweep.open(tmp_path / "monday", ("seed=1",), None, SweepSettings()).with_parent(None)
    return module._Job(
        config=None,
        sweep=sweep,
        number=0,
        name="seed=1",
        digest=DIGEST,
        values={},
        experiment=None,
    )


def attempt(job, *, pruned):
    folder = job.sweep.invocation / "0"
    folder.mkdir()
    tried = Attempt(digest=DIGEST, name="seed=1", command="ecgexp", run_dir=str(folder))
    with job.sweep.attempt(tried) as running:
        running.update(data_digest="beats")
        if pruned:
            raise Pruned("pruned after epoch 1 of 4")
        result = Result(status="FINISHED")
        result.write(folder)
        running.finish(result)


def test_pruned_job_runs_whole_where_nothing_is_pruned(job, tmp_path):
    with pytest.raises(Pruned):
        attempt(job, pruned=True)
    assert job._done(Path(tmp_path), prunes=True).status == "PRUNED"
    assert job._done(Path(tmp_path), prunes=False) is None


def test_finished_job_is_used_by_every_search(job, tmp_path):
    attempt(job, pruned=False)
    for prunes in (True, False):
        assert job._done(Path(tmp_path), prunes=prunes).status == "FINISHED"


def test_failed_job_is_shown_by_the_summary_only(capsys, monkeypatch):
    monkeypatch.setattr(JobReturn, "return_value", JobReturn.return_value)  # restored at the end
    running._show_failed_jobs_once()
    for error, said in ((JobFailed("seed=1: no beats"), ""), (ValueError("a bug"), "Error exec")):
        failed = JobReturn(status=JobStatus.FAILED, _return_value=error)
        with pytest.raises(type(error)):
            _ = failed.return_value
        written = capsys.readouterr().err
        assert written.startswith(said)
        assert bool(written) == bool(said)
    assert JobReturn(status=JobStatus.COMPLETED, _return_value=0.5).return_value == 0.5
