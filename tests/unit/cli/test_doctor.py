import io
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ecgexp.cli import doctor
from ecgexp.cli.doctor_checks import (
    Finding,
    Settings,
    check_data,
    check_devices,
    check_machine,
    check_store,
    check_versions,
)
from ecgexp.settings import installation


@pytest.fixture
def settings(tmp_path):
    return Settings(
        data_root=tmp_path / "data",
        store=f"sqlite:///{tmp_path}/mlruns/mlflow.db",
        runs_dir=tmp_path / "outputs",
        close_stale=False,
    )


def shown(findings):
    text = io.StringIO()
    Console(file=text, width=100).print(doctor.report(findings))
    return text.getvalue()


def test_doctor_shows_mark_and_advice_in_each_line():
    lines = shown(
        [
            Finding(what="Python", state="good", found="3.11.7"),
            Finding(
                what="GPU", state="note", found="no [cuda] here", advice="`uv run --extra gpu`"
            ),
            Finding(what="disk", state="bad", found="full"),
        ]
    ).splitlines()
    assert [line[0] for line in lines] == ["✓", "!", "✗"]
    assert "no [cuda] here" in lines[1]
    assert "`uv run --extra gpu`" in lines[1]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecgexp.cli import doctor; assert not {'mlflow', 'tensorflow', "
        "'wfdb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_missing_essential_package_is_bad(settings, monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("wfdb", "dp-accounting"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    states = {finding.what: (finding.state, finding.advice) for finding in check_versions(settings)}
    assert states["wfdb"] == ("bad", "use `uv sync --reinstall-package wfdb`")
    assert states["dp-accounting"][0] == "bad"


def test_doctor_notes_the_command_for_federated_runs(settings, monkeypatch):
    real = metadata.version

    def version(name):
        if name.startswith("tensorflow-fed"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(installation, "is_checkout", lambda: False)
    finding = next(each for each in check_versions(settings) if each.what == "federated training")
    assert (finding.state, finding.found) == ("note", "tensorflow-federated not installed")
    assert 'pip install --no-deps -r "$(ecgexp-doctor --federated-req' in finding.advice


def test_doctor_prints_the_path_of_federated_requirements(capsys):
    assert doctor.main(["--federated-requirements"]) == 0
    printed = Path(capsys.readouterr().out.rstrip("\n"))
    assert "tensorflow-federated==" in printed.read_text(encoding="utf-8")


def test_doctor_full_disk_is_bad(settings, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * 2**20))
    disk = next(finding for finding in check_machine(settings) if finding.what == "disk")
    assert disk.state == "bad"
    assert "hydra.run.dir" in disk.advice


def test_doctor_without_data_notes_the_command(settings):
    (finding,) = check_data(settings)
    assert finding.state == "note"
    assert "mitdb, nstdb, qtdb, svdb, mitdb_csv not below" in finding.found
    assert "ecgexp-fetch" in finding.advice


def test_doctor_counts_records_of_an_incomplete_database(settings):
    folder = settings.data_root / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    for name in ("100.hea", "100.dat", "100.atr", "101.hea"):
        (folder / name).touch()
    mitdb = next(finding for finding in check_data(settings) if finding.what == "mitdb")
    assert mitdb.state == "note"
    assert "1 of 48 records" in mitdb.found
    assert "ecgexp-fetch mitdb" in mitdb.advice


@pytest.mark.real_data
def test_doctor_finds_the_real_database_complete(settings, real_root):
    real = Settings(
        data_root=real_root, store=settings.store, runs_dir=settings.runs_dir, close_stale=False
    )
    mitdb = next(finding for finding in check_data(real) if finding.what == "mitdb")
    assert (mitdb.state, mitdb.found.split(" in ")[0]) == ("good", "48 of 48 records")


def test_doctor_accepts_a_missing_store_and_makes_none(settings, tmp_path):
    (finding,) = check_store(settings)
    assert finding.state == "good"
    assert "none yet" in finding.found
    assert not (tmp_path / "mlruns").exists()


def test_doctor_damaged_store_is_bad(settings, tmp_path):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(b"no database" * 1000)
    (finding,) = check_store(settings)
    assert finding.state == "bad"
    assert "the file cannot be used" in finding.found


def test_unavailable_server_fails_and_hides_its_password(settings):
    away = Settings(
        data_root=settings.data_root,
        store="http://me:hunter2@127.0.0.1:9",
        runs_dir=settings.runs_dir,
        close_stale=False,
    )
    text = shown(list(check_store(away)))
    assert text.startswith("✗")
    assert "***@127.0.0.1:9" in text
    assert "hunter2" not in text


def test_doctor_closes_stale_runs_of_a_server(settings, monkeypatch):
    from ecgexp.tracking.mlflow.health import StaleRun

    monkeypatch.setattr("ecgexp.tracking.mlflow.address.reach", lambda _: None)
    for name in ("find_stale", "close_stale"):
        monkeypatch.setattr(
            f"ecgexp.tracking.mlflow.health.{name}",
            lambda _: [StaleRun(run_id="a" * 32, name="left behind")],
        )
    server = {
        "data_root": settings.data_root,
        "store": "http://me:hunter2@host",
        "runs_dir": settings.runs_dir,
    }
    answers, stale = check_store(Settings(**server, close_stale=False))
    assert answers.found == "http://***@host answers"
    assert "1 are stored as RUNNING, but their process has ended: left behind" in stale.found
    assert (
        "1 marked as KILLED: left behind"
        in list(check_store(Settings(**server, close_stale=True)))[-1].found
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from ecgexp.tracking.settings import MlflowTracking
MlflowTracking().start(run_name="abandoned", run_dir=None, base_dir=Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_doctor_closes_stale_runs_but_not_running_ones(settings, tmp_path):
    from ecgexp.tracking.settings import MlflowTracking

    living = MlflowTracking().start(run_name="living", run_dir=None, base_dir=tmp_path)
    assert (
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == -9
    )
    runs = list(check_store(settings))[-1]
    assert runs.state == "note"
    assert "1 are stored as RUNNING, but their process has ended: abandoned" in runs.found
    assert "--close-stale" in runs.advice

    closing = Settings(
        data_root=settings.data_root,
        store=settings.store,
        runs_dir=settings.runs_dir,
        close_stale=True,
    )
    assert "1 marked as KILLED: abandoned" in list(check_store(closing))[-1].found
    assert "none is stale" in list(check_store(settings))[-1].found
    living.finish("FINISHED")


def test_doctor_exit_code_is_1_if_something_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    light = tuple(entry for entry in doctor._CHECKS if entry[1] is not check_devices)
    monkeypatch.setattr(doctor, "_CHECKS", light)
    assert doctor.main([]) == 0
    assert "Ready" in capsys.readouterr().out
    monkeypatch.setattr(
        doctor, "_CHECKS", (*light, ("", lambda _: [Finding(what="x", state="bad", found="gone")]))
    )
    assert doctor.main([]) == 1
    assert "1 to fix" in capsys.readouterr().out


def test_doctor_finding_is_one_line_when_redirected(tmp_path, monkeypatch, capsys):
    path = "/".join(["a folder"] * 40)
    found = Finding(what="store", state="good", found=path, advice="look at it")
    monkeypatch.setattr(doctor, "_CHECKS", (("", lambda _: [found]),))
    assert doctor.main(["--runs-dir", str(tmp_path)]) == 0
    assert path in capsys.readouterr().out.splitlines()[0]


def test_plugins_are_listed_and_a_broken_one_is_a_line(settings, tmp_path):
    from plugin_packages import MODEL, forget, install, on_path

    from ecgexp.cli.plugin_checks import check_plugins

    with on_path(tmp_path):
        assert [found.what for found in check_plugins(settings)] == ["plug-ins"]
        yaml = {"conf/model/one.yaml": "", "conf/model/mlp.yaml": ""}
        install(tmp_path, "good", {"__init__.py": MODEL, "conf/model/one.yaml": ""})
        install(tmp_path, "bad", {"__init__.py": f"import nowhere\n{MODEL}"})
        install(tmp_path, "empty", {"__init__.py": ""})
        install(tmp_path, "rude", {"__init__.py": MODEL, **yaml})
        install(tmp_path, "ecgexp", {}, distribution="thief")
        forget()
        found = {one.what: one for one in check_plugins(settings)}
    assert {one: found[f"plug-in {one}"].state for one in ("good", "bad", "empty", "rude")} == {
        "good": "good",
        "bad": "note",
        "empty": "note",
        "rude": "note",
    }
    assert found["plug-in good"].found == "good 1.0: good.Net, model=one"
    assert "No module named 'nowhere'" in found["plug-in bad"].found
    assert "model=mlp" in found["plug-in rude"].advice
    assert "thief 1.0" in found["plug-in ecgexp"].found
