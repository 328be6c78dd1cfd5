"""Paths and URLs in settings: how they are resolved, where they may point, and what is refused."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from start_line import after_start

from ecgexp.config.compose import build_experiment, load_config
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.settings.paths import check_inside, counted_from, scheme_of
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.kept_files import FolderFiles
from ecgexp.tracking.locations import artifact_location
from ecgexp.tracking.settings import MlflowTracking

COMMAND = str(Path(sys.executable).parent / "ecgexp")
LONG = "a" * 300


def ecgexp(*words, cwd):
    return subprocess.run([COMMAND, *words], cwd=cwd, capture_output=True, text=True, check=False)


def composed(base, **settings):
    config = load_config([])
    for name, value in settings.items():
        group, _, key = name.partition("__")
        config[group][key] = value
    return build_experiment(config, base_dir=base)


@pytest.fixture
def places(tmp_path):
    (tmp_path / "file").write_text("a file where a folder is wanted", encoding="utf-8")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_relative_paths_are_resolved_in_the_given_folder(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = composed(
        tmp_path,
        data__cache_dir="a b=c,d é/",
        tracking__uri="sqlite:///x/y.db",
        tracking__artifact_root="~/kept",
    )
    assert found.dataset.cache_dir == tmp_path / "a b=c,d é"
    assert found.tracking.uri == f"sqlite:///{tmp_path}/x/y.db"
    assert found.tracking.artifact_root == f"{tmp_path}/home/kept"
    assert (
        build_experiment(
            load_config(["dataset=mitdb", "data.root=d"]), base_dir=tmp_path
        ).dataset.root
        == tmp_path / "d"
    )


def test_paths_of_a_notebook_are_unchanged():
    assert MlflowTracking(uri="sqlite:///x.db", artifact_root=Path("y")).uri == "sqlite:///x.db"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " ",
        "file",
        "file/below",
        "dangling",
        "pipe",
        "/dev/null",
        LONG,
        "a\nb",
        "a\0b",
        "a\udcff",
        "C:\\x",
        "C:/x",
    ],
)
@pytest.mark.parametrize("setting", ["data__cache_dir", "tracking__artifact_root"])
def test_folder_not_writable_is_refused_in_one_line(setting, bad, places):
    before = sorted(places.rglob("*"))
    with pytest.raises(ConfigError) as refused:
        composed(places, **{setting: bad})
    assert len(str(refused.value).splitlines()) == 1
    assert f"{setting.partition('__')[2]}=" in str(refused.value)
    assert "; use " in str(refused.value)
    assert sorted(places.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_refused(places):
    (places / "closed").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match="closed cannot be written to"):
        composed(places, data__cache_dir="closed/below")


@pytest.mark.parametrize(
    "text", ["..", "../x", "a/../b", "/x", "~/x", "\\x", "C:/x", "a\nb", "", LONG]
)
def test_name_that_leaves_its_folder_is_refused(text):
    with pytest.raises(ConfigError, match="^tracking.experiment_name="):
        check_inside("tracking.experiment_name", text)
    with pytest.raises(ConfigError, match="tracking.experiment_name"):
        build(MlflowTracking, {"experiment_name": text}, path="tracking")


@pytest.mark.parametrize("setting", ["hydra.job.name", "hydra.sweep.subdir"])
def test_hydra_does_not_leave_the_folder_of_a_run(setting, tmp_path):
    done = ecgexp(f"{setting}=../x", "tracking=none", cwd=tmp_path)
    assert done.returncode == 2
    assert after_start(done.stderr).startswith(f"ecgexp: {setting}=../x: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("thing", ["pipe", "folder"])
def test_special_file_is_never_replaced(thing, places):
    (places / "folder").mkdir()
    with pytest.raises(OSError, match="not a regular file"), replacing(places / thing):
        pytest.fail("nothing may be written")
    from ecgexp.tracking.mlflow.store_tables import create_tables

    with pytest.raises(
        ConfigError, match=f"tracking.uri=sqlite:///{places}/{thing}.*not a regular file"
    ):
        create_tables(places / thing)
    assert {path.name for path in places.iterdir()} == {"file", "dangling", "pipe", "folder"}


def test_link_that_leads_out_of_a_run_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("{}", encoding="utf-8")
    (tmp_path / "run" / "result.json").symlink_to(tmp_path / "secret")
    (tmp_path / "link").symlink_to("run")
    with pytest.raises(DataError, match="leads out of the run's folder"):
        FolderFiles(tmp_path / "link").find("result.json")
    (tmp_path / "run" / "own.json").write_text("{}", encoding="utf-8")
    assert FolderFiles(tmp_path / "link").find("own.json") is not None


@pytest.mark.parametrize(
    ("root", "location"),
    [
        ("s3://bucket/path/", "s3://bucket/path/a%20b"),
        ("S3://Bucket", "s3://Bucket/a%20b"),
        ("gs://b", "gs://b/a%20b"),
        (
            "wasbs://c@account.blob.core.windows.net/x",
            "wasbs://c@account.blob.core.windows.net/x/a%20b",
        ),
        ("hdfs:///x", "hdfs:///x/a%20b"),
        ("viewfs:///x", "viewfs:///x/a%20b"),
        ("dbfs:/x", "dbfs:/x/a%20b"),
        ("ftp://h/x", "ftp://h/x/a%20b"),
        ("sftp://h/x", "sftp://h/x/a%20b"),
        ("https://h/x?y=1", "https://h/x/a%20b?y=1"),
        ("mlflow-artifacts:/x", "mlflow-artifacts:/x/a%20b"),
        ("file:///x", "file:///x/a%20b"),
        ("FILE:///x", "file:///x/a%20b"),
        ("x", "file:///base/x/a%20b"),
        ("/x", "file:///x/a%20b"),
    ],
)
def test_urls_of_every_scheme_are_unchanged(root, location):
    with counted_from(Path("/base")):
        settings = MlflowTracking(artifact_root=root)
    assert artifact_location(settings.artifact_root, "a b", Path("/elsewhere")) == location


def test_drive_letter_is_not_a_scheme():
    assert [scheme_of(text) for text in ("C:\\x", "c:/x", "S3://b", "dbfs:/x", "a/b:c", "")] == [
        "",
        "",
        "s3",
        "dbfs",
        "",
        "",
    ]


def test_artifacts_are_written_to_an_object_store(tmp_path):
    kept = {}

    class ObjectStore(BaseHTTPRequestHandler):
        def do_PUT(self):  # noqa: N802
            kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), ObjectStore)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        root = f"HTTP://127.0.0.1:{server.server_port}/api/2.0/mlflow-artifacts/artifacts/mine"
        tracker = MlflowTracking(artifact_root=root).start(
            run_name="x", run_dir=None, base_dir=tmp_path
        )
        tracker.log_text("hello", "notes/a.txt")
        tracker.finish("FINISHED")
    finally:
        server.shutdown()
        server.server_close()
    path = f"/api/2.0/mlflow-artifacts/artifacts/mine/ecgexp/{tracker.run_id}/artifacts/notes/a.txt"
    assert kept[path] == b"hello"
    assert {item.name for item in tmp_path.iterdir()} == {"mlruns"}
    assert not any(
        item.is_dir() and item.name == "ecgexp" for item in (tmp_path / "mlruns").iterdir()
    )


@pytest.mark.parametrize(
    ("root", "remedy"),
    [
        ("s4://b", "MLflow does not support the scheme s4"),
        ("mlflow-artifacts:/x", "MLflow cannot use it"),
    ],
)
def test_url_that_mlflow_cannot_use_is_refused_before_a_run(root, remedy, tmp_path):
    with pytest.raises(ConfigError, match=f"tracking.artifact_root={root}.*{remedy}.*; use "):
        MlflowTracking(artifact_root=root).start(run_name="x", run_dir=None, base_dir=tmp_path)
