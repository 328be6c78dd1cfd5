"""An option that is given twice is refused, by every command that has options."""

import pytest

from ecgexp.cli.arguments import Parser


def make_parser():
    parser = Parser(prog="command")
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
            "--output b: it is given twice, first as a; give it once",
        ),
        (["--parent=a", "--parent=a"], "--parent a: it is given twice, first as a; give it once"),
        (
            ["--patients", "1", "2", "--patients", "3"],
            "--patients 3: it is given twice, first as 1 2; give it once",
        ),
    ],
)
def test_option_given_twice_is_refused(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["record", *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"command: {message}\n"


def test_option_given_once_is_taken_by_every_call():
    parser = make_parser()
    for _ in range(2):
        options = parser.parse_args(["a", "b", "--output", "there", "--public", "--public"])
        assert (options.records, options.output, options.patients, options.public) == (
            ["a", "b"],
            "there",
            [22],
            True,
        )
