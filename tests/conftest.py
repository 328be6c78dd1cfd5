"""What every test may ask for: the real database, where it is."""

import gc
import json
import os
import shutil
import signal
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("ecgexp", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("ecgexp")

TESTS = Path(__file__).parent
WITH_TENSORFLOW = ("tensorflow", "end_to_end")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A test is marked `tf` by its folder, before pytest reads what `-m` says.

    Files with slow tests come first, so that two processes end at nearly the same time.
    """
    slow = set()
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in WITH_TENSORFLOW:
            item.add_marker(pytest.mark.tf)
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: item.path not in slow)


_MANY = 300  # modules
_frozen_modules = 0


def pytest_runtest_setup():
    """Takes the objects of libraries out of the garbage collector, which needs a tenth of the time
    where it examines them again and again.
    """
    global _frozen_modules
    if len(sys.modules) > _frozen_modules + _MANY:
        _frozen_modules = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Prints the seconds of each folder, added up over all processes."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds["/".join(report.nodeid.split("/")[:2])] += report.duration
    for folder, total in seconds.most_common() if len(seconds) > 1 else ():
        terminalreporter.write_line(f"{folder:18} {total:5.0f} s of all processes")


@pytest.fixture(scope="session", autouse=True)
def private_dir(tmp_path_factory):
    """Runs without a store, and processes that tests start, leave nothing private in the working
    folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGEXP_PRIVATE", str(tmp_path_factory.mktemp("private")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_are_on_the_path():
    """Messages name commands as the shell finds them; here by their names alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", sysconfig.get_path("scripts"), prepend=os.pathsep)
        patch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _remembered_epsilons():
    """What dp_accounting computed for a composition once is not computed again."""
    from accounting_memory import installed

    with installed():
        yield


@pytest.fixture(scope="session")
def real_root():
    """The data root with the real database; a test that asks for it is also marked `real_data`."""
    root = Path(os.environ.get("ECGEXP_DATA", "nowhere"))
    if not (root / "mitdb").is_dir():
        pytest.skip("needs the MIT-BIH database: set ECGEXP_DATA to the folder that holds mitdb/")
    return root


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store without runs, to be copied: making one costs seconds."""
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store

    base = tmp_path_factory.mktemp("empty")
    open_store(
        "sqlite:///mlruns/mlflow.db", artifact_root=base, experiment_name="Default", base_dir=base
    )
    return base / "mlruns" / "mlflow.db"


@pytest.fixture
def here(tmp_path, monkeypatch, empty_store):
    """A folder with a store, in which commands are typed.

    What a store has not received is not sent again at the end.
    """
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("ecgexp.tracking.mirrored.END_WAITS_S", ())
    return tmp_path


@pytest.fixture
def forked():
    """Starts what it is given in a child process; the answer waits for its exit code, negative for
    a signal.
    """

    def start(work):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return start


@pytest.fixture
def killed_while(forked):
    """Runs what it is given in a child process that must end by SIGKILL, which the work sends to
    itself.
    """

    def run(work):
        assert forked(work)() == -signal.SIGKILL

    return run


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """Data root with six records of mitdb at 360 Hz and the same patients as svdb at 128 Hz."""
    from two_folders import MITDB_NAMES, PATIENTS, SVDB_NAMES, draw_heartbeats, write_record

    root = tmp_path_factory.mktemp("data")
    for patient, mitdb, svdb in zip(PATIENTS, MITDB_NAMES, SVDB_NAMES, strict=True):
        drawn = draw_heartbeats(patient)
        write_record(root / "mitdb", mitdb, drawn, fs_hz=360)
        write_record(root / "svdb", svdb, drawn, fs_hz=128, gain=0 if patient % 2 else 200)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run_in(request, tmp_path, cache):
    """(words…) -> result, what `result.json` holds, the lines of `metrics.jsonl`.

    After `SMALL` of the test's module.
    """
    from ecgexp.config.compose import load_experiment
    from ecgexp.experiment.run import run

    def go(*words):
        result = run(
            load_experiment([*request.module.SMALL, f"data.cache_dir={cache}", *words]), tmp_path
        )
        lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        return result, json.loads((tmp_path / "result.json").read_text()), lines

    return go


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory):
    """One MLflow store for all tests that can share it: creating one costs seconds."""
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store

    base = tmp_path_factory.mktemp("store")
    return open_store(
        "sqlite:///mlruns/mlflow.db",
        artifact_root=base / "mlruns",
        experiment_name="tests",
        base_dir=base,
    )
