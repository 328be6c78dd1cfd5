"""All commands as one family.

Help, refusals, names of runs and outputs, and completion in a shell.
"""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
COMMANDS = sorted(set(SCRIPTS) - {"ecgexp"})
BIN = Path(sys.executable).parent

# Where the run of a command stands among its arguments, and what it is called there.
WITH_RUN = {
    "ecgexp-compare": (["{}", "{}"], "RUN_A"),
    "ecgexp-open": (["{}"], "RUN"),
    "ecgexp-predict": (["{}", "record"], "RUN"),
    "ecgexp-report": (["{}"], "RUN"),
    "ecgexp-sync": (["{}"], "RUN"),
}
WITH_OUTPUT = (
    "ecgexp-compare",
    "ecgexp-inspect",
    "ecgexp-leave-one-out",
    "ecgexp-predict",
    "ecgexp-report",
)
WITH_FOLDER = ("ecgexp-fetch", "ecgexp-new")  # an output that later calls complete
NEEDED = {
    "ecgexp-compare": ["x", "x"],
    "ecgexp-open": ["x"],
    "ecgexp-predict": ["x", "x"],
    "ecgexp-fetch": ["mitdb"],
    "ecgexp-inspect": ["x"],
    "ecgexp-new": ["plugin", "x"],
}


def ended(capsys, name, *words):
    """The exit code and what was printed."""
    try:
        code = import_module(SCRIPTS[name].partition(":")[0]).main(list(words))
    except SystemExit as end:
        code = end.code
    return code or 0, capsys.readouterr()


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for suffix in ("hea", "dat"):
        (tmp_path / f"record.{suffix}").touch()
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_and_completion(capsys, name):
    code, said = ended(capsys, name, "--help")
    assert code == 0
    examples = said.out.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all(line.startswith(f"  {name}") for line in examples)
    assert f"register-python-argcomplete {name}" in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_example_of_help_is_accepted_by_the_parser(capsys, name):
    import shlex

    module = import_module(SCRIPTS[name].partition(":")[0])
    ended(capsys, name, "--help")
    for line in module._EXAMPLE.splitlines():
        module._parse(shlex.split(line)[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_option_is_refused_in_one_line(capsys, name):
    needed = NEEDED.get(name, [])
    code, said = ended(capsys, name, *needed, "--nonsense")
    assert (code, said.out) == (2, "")
    assert said.err == f"{name}: unrecognized arguments: --nonsense; see {name} --help\n"


@pytest.mark.parametrize("name", WITH_RUN)
@pytest.mark.parametrize("run", ["0" * 32, "outputs/none", "."])
def test_missing_run_is_refused_in_one_line(capsys, empty, name, run):
    words, argument = WITH_RUN[name]
    code, said = ended(capsys, name, *(word.format(run) for word in words))
    assert (code, said.out) == (2, "")
    assert said.err.startswith(f"{name}: {argument} {run}: ")
    assert said.err.count("\n") == 1
    assert any(
        remedy in said.err for remedy in ("use the folder of", "with --store sqlite:///FOLDER")
    )
    assert not (empty / "mlruns").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_run_comes_first_and_outputs_have_one_name(capsys, name):
    _, said = ended(capsys, name, "--help")
    usage = " ".join(said.out.partition("\n\n")[0].split())
    assert ("RUN" in usage) == (name in WITH_RUN)
    positional = usage.rpartition("--store URI] ")[2].split()
    assert name not in WITH_RUN or positional[0].strip("[]").startswith("RUN")
    assert ("--output " in usage) == (name in (*WITH_OUTPUT, *WITH_FOLDER))
    assert ("--overwrite" in usage) == (name in WITH_OUTPUT)
    assert not {"--run ", "--parent ", "--json ", "--outputs "} & {
        f"{word} " for word in usage.replace("[", "").split()
    }


def test_help_of_the_experiment_names_every_command():
    config = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))
    footer = config["hydra"]["help"]["footer"]
    assert all(name in footer for name in COMMANDS)
    assert "ecgexp -sc install=bash" in footer


def complete(setup, function, line, folder):
    """What bash offers after `line` when Tab is pressed."""
    words = " ".join(f"'{word}'" for word in line.split(" "))
    script = f"""
        eval "$({setup})"
        COMP_WORDS=({words}); COMP_CWORD={line.count(" ")}
        COMP_LINE='{line}'; COMP_POINT={len(line)}
        COMP_TYPE=9
        {function} {line.split(" ")[0]} '{line.rpartition(" ")[2]}' '{line.split(" ")[-2]}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ecgexp-compare --sp", "--split"),
        ("ecgexp-doctor --clo", "--close-stale"),
        ("ecgexp-fetch mitdb --rec", "--records"),
        ("ecgexp-inspect --conf", "--config-dir"),
        ("ecgexp-leave-one-out --ch", "--choose"),
        ("ecgexp-new pl", "plugin"),
        ("ecgexp-open --st", "--store"),
        ("ecgexp-plan --un", "--units"),
        ("ecgexp-predict --beats det", "detector"),
        ("ecgexp-report --pub", "--public"),
        ("ecgexp-runs --stat", "--status"),
        ("ecgexp-sync outp", "outputs/"),
        ("ecgexp-ui --po", "--port"),
    ],
)
def test_bash_completes_every_command(tmp_path, line, offered):
    (tmp_path / "outputs").mkdir()
    name = line.split(" ")[0]
    setup = f"register-python-argcomplete {name}"
    assert complete(setup, "_python_argcomplete", line, tmp_path) == [offered]


def test_completion_is_tested_of_every_command():
    (cases,) = (
        mark for mark in test_bash_completes_every_command.pytestmark if mark.name == "parametrize"
    )
    assert sorted(line.split(" ")[0] for line, _ in cases.args[1]) == COMMANDS


@pytest.mark.parametrize(
    ("line", "offered"),
    [("ecgexp trainer=fed", ["trainer=federated"]), ("ecgexp debu", ["debug="])],
)
def test_bash_completes_overrides_of_an_experiment(tmp_path, line, offered):
    found = complete("ecgexp -sc install=bash", "hydra_bash_completion", line, tmp_path)
    assert found == offered
