import subprocess
from importlib import metadata

from ecgexp.tracking.checks import check_name
from ecgexp.tracking.provenance import git_state, system_tags, versions


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_checkout_is_known_by_its_commit_and_its_changes(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path / "code") == (commit, "false")
    (tmp_path / "code" / "b.py").write_text("b = 1\n")
    assert git_state(tmp_path / "code") == (commit, "true")


def test_code_below_another_checkout_has_no_git_state(tmp_path):
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text(".venv\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "ecgexp.py").write_text("")
    assert git_state(tmp_path / ".venv") == ("unknown", "unknown")


def test_no_checkout_is_unknown(tmp_path):
    assert git_state(tmp_path) == ("unknown", "unknown")


def test_system_tags_can_be_kept_and_name_what_shapes_a_result():
    tags = system_tags()
    assert all(check_name(name, kind="tag") for name in tags)
    assert all(isinstance(value, str) for value in tags.values())
    assert {
        "git.commit",
        "git.dirty",
        "host.cores",
        "host.platform",
        "process.pid",
        "version.python",
    } <= set(tags)
    assert int(tags["host.cores"]) >= 1


def test_versions_are_those_installed():
    found = versions()
    assert found["numpy"] == metadata.version("numpy")
    assert found["mlflow"] == metadata.version("mlflow")
