"""The parser of the commands: errors, remedies and exit codes."""

from pathlib import Path

import pytest

from ecgexp.cli.arguments import Parser, check_output, run_command
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.settings.paths import DEFAULT_STORE


def make_parser():
    parser = Parser(prog="command", description="", example="")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--parent")
    group.add_argument("--experiment")
    parser.add_argument("records", nargs="+")
    parser.add_argument("--output", default="here")
    parser.add_argument("--patients", nargs="+", type=int, default=[22])
    parser.add_argument("--public", action="store_true")
    return parser


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--output", "a", "--output", "b"],
            "--output b: it is given twice, first as a; use it once",
        ),
        (["--parent=a", "--parent=a"], "--parent a: it is given twice, first as a; use it once"),
        (
            ["--patients", "1", "2", "--patients", "3"],
            "--patients 3: it is given twice, first as 1 2; use it once",
        ),
    ],
)
def test_option_given_twice_is_refused(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["record", *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"command: {message}\n"


def test_option_given_once_is_accepted_by_each_call():
    parser = make_parser()
    for _ in range(2):
        options = parser.parse_args(["a", "b", "--output", "there", "--public", "--public"])
        assert (options.records, options.output, options.patients, options.public) == (
            ["a", "b"],
            "there",
            [22],
            True,
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["record", "--ouput", "a"], "unrecognized arguments: --ouput a; did you mean --output?"),
        (["record", "--out=a"], "unrecognized arguments: --out=a; did you mean --output?"),
        (["record", "--zzz"], "unrecognized arguments: --zzz; see command --help"),
        ([], "the following arguments are required: records; see command --help"),
    ],
)
def test_refusal_names_the_argument_and_a_remedy(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"command: {message}\n"


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("a=1: b;\nuse c"), "command: a=1: b; use c\n"),
        (DataError("http://me:hunter2@host is gone"), "command: http://***@host is gone\n"),
        (
            OSError(28, "No space left on device"),
            "free some space, or use another folder, e.g. with --output\n",
        ),
    ],
)
def test_error_of_a_command_is_one_line_without_passwords(error, line, capsys):
    assert run_command("command", raising(error)) == 2
    said = capsys.readouterr().err
    assert said.endswith(line)
    assert said.count("\n") == 1


def test_interrupted_command_has_exit_code_130():
    assert run_command("command", raising(KeyboardInterrupt())) == 130


@pytest.mark.parametrize(
    ("is_ours", "overwrite", "remedy"),
    [
        (True, False, "use --overwrite"),
        (False, True, "use another --output"),
        (False, False, "use another --output"),
    ],
)
def test_output_that_exists_is_refused(tmp_path, is_ours, overwrite, remedy):
    file = tmp_path / "x"
    check_output(file, is_ours=lambda: is_ours, kind="report", overwrite=overwrite)
    file.touch()
    with pytest.raises(DataError, match=rf"--output {file}: .*{remedy}"):
        check_output(file, is_ours=lambda: is_ours, kind="report", overwrite=overwrite)


def test_own_output_is_replaced_with_overwrite(tmp_path):
    check_output(Path(tmp_path), is_ours=lambda: True, kind="report", overwrite=True)


def test_help_of_the_store_names_its_default():
    parser = Parser(prog="command", description="", example="")
    parser.add_store()
    assert DEFAULT_STORE in parser.format_help()
