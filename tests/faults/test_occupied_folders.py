"""Runs that start in folders with content, and secrets on the command line.

No existing file is changed, and no secret is written.
"""

import json
from pathlib import Path

import pytest
from preloaded import run
from start_line import after_start

from ecgexp.config.compose import load_experiment
from ecgexp.settings.declaration import ConfigError

SMALL = ["dataset.num_patients=3", "dataset.minutes=1", "model=cnn1d_small", "tracking=none"]


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ecgexp(folder, *words):
    words = sorted(words, key=lambda word: word != "-m")  # Hydra takes its flags first
    return run(*words, cwd=folder)


@pytest.fixture
def finished(tmp_path):
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- seed=0\n")
    (folder / "run.json").write_text(json.dumps({"status": "FINISHED"}))
    (folder / "result.json").write_text("{}")
    (folder / "ecgexp.log").write_text("")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("hydra.run.dir=run", "seed=1"),
        ("-m", "seed=1,2", "hydra.sweep.dir=run"),
        ("-m", "seed=1", "hydra.sweep.dir=run"),
        ("hydra.run.dir=./run/../run/", "trainer=dp", "privacy.noise_multiplier=1.1"),
    ],
)
def test_start_into_finished_run_changes_nothing(finished, words):
    before = content(finished)
    done = ecgexp(finished.parent, *SMALL, *words)
    assert done.returncode == 2
    assert "dir=" in done.stderr
    assert "use another hydra." in done.stderr
    assert "resume=" in done.stderr
    assert after_start(done.stderr).count("\n") == 1
    assert content(finished) == before
    assert sorted(path.name for path in finished.parent.iterdir()) == ["run"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("hydra.run.dir=run",), "{}"),
        (("-m", "seed=1,2", "hydra.sweep.dir=run"), '{"home": "/other"}'),
        (("-m", "seed=1,2", "hydra.sweep.dir=run"), "{half"),
    ],
)
def test_start_into_other_sweep_changes_nothing(tmp_path, words, text):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sweep.json").write_text(text)
    (folder / "multirun.yaml").write_text("x: 1\n")
    before = content(folder)
    done = ecgexp(tmp_path, *SMALL, *words)
    assert done.returncode == 2
    assert "holds a sweep; use another hydra." in done.stderr
    assert "resume=" in done.stderr
    assert content(folder) == before


def test_run_from_notebook_into_finished_run_is_refused(finished):
    from ecgexp.experiment.run import run

    before = content(finished)
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir=.*another.*resume="):
        run(load_experiment(SMALL), finished)
    assert content(finished) == before


def test_refused_start_leaves_no_folder(tmp_path):
    done = ecgexp(tmp_path, *SMALL, "hydra.run.dir=run", "trainer.epochs=-1")
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


SECRETS = {
    "tracking.uri": "http://PLANTED01:@127.0.0.1:9",
    "+tracking.tags.api_token": "PLANTED02",
    "+tracking.tags.github_pat": "PLANTED03",
    "+tracking.tags.a": "'Bearer PLANTED04'",
    "+tracking.tags.b": "'auth=PLANTED05 pwd=PLANTED06'",
    "+tracking.tags.private_key": "PLANTED07",
    "+tracking.tags.c": "'https://h/x?token=PLANTED08&a=1'",
    "+tracking.tags.d": "ghp_PLANTED09",
    "+tracking.tags.e": '\'"password": "PLANTED10"\'',
    "+tracking.tags.f": "postgresql://me:PLANTED11@db/x",
    "+tracking.tags.g": "glpat-PLANTED12",
}


@pytest.mark.parametrize("before", [(), ("-m",)])
def test_planted_secrets_stand_nowhere_when_store_is_away(tmp_path, before):
    words = [f"{key}={value}" for key, value in SECRETS.items()]
    done = ecgexp(
        tmp_path, *before, *SMALL[:-1], "hydra.run.dir=run", "hydra.sweep.dir=sweep", *words
    )
    assert done.returncode == 2
    assert "tracking.uri=http://***@127.0.0.1:9: the store cannot be used" in done.stderr
    assert "PLANTED" not in done.stdout + done.stderr
    assert not [name for name, text in content(tmp_path).items() if b"PLANTED" in text]


def test_planted_secrets_stand_in_no_composed_note(tmp_path):
    done = ecgexp(tmp_path, *[f"{key}={value}" for key, value in SECRETS.items()], "--cfg", "all")
    assert done.returncode == 0
    assert "http://***@127.0.0.1:9" in done.stdout
    assert "PLANTED" not in done.stdout + done.stderr


def test_planted_secrets_in_experiment_file_are_not_composed(tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "# @package _global_\ntracking:\n  uri: http://PLANTED:@127.0.0.1:9\n"
        "  tags:\n    api_token: PLANTED\n    a: pwd=PLANTED\n"
    )
    words = ["--config-dir", "mine", "experiment=own"]
    done = ecgexp(tmp_path, *words, "--cfg", "all")
    assert "PLANTED" not in done.stdout + done.stderr
    assert "http://***@127.0.0.1:9" in done.stdout
    started = ecgexp(tmp_path, *words, *SMALL[:-1], "hydra.run.dir=run")
    assert "tracking.uri=http://***@127.0.0.1:9: the store cannot be used" in started.stderr
    assert not Path(tmp_path / "run").exists()


def test_secret_in_text_that_cannot_be_parsed_is_not_shown(tmp_path):
    done = ecgexp(tmp_path, "tracking.uri=[http://PLANTED:@host", "seed=(")
    assert done.returncode == 2
    assert "PLANTED" not in done.stdout + done.stderr
