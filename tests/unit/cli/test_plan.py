import subprocess
import sys

import pytest

from ecgexp.cli import plan
from ecgexp.privacy.plan import PrivacyPlan

QUICK = ["--accountant", "rdp", "--rounds", "2", "--patients", "47"]


def run_plan(capsys, *arguments):
    assert plan.main(list(arguments)) == 0
    return capsys.readouterr()


@pytest.fixture
def asked(monkeypatch):
    """What reaches the tables, without computing them."""
    seen = []

    def instead(base, plans, *, num_parameters, populations, on_progress):
        seen.append((base, list(plans), num_parameters, list(populations)))
        raise plan.ConfigError("enough")

    monkeypatch.setattr(plan, "feasibility_of", instead)

    def ask(*arguments):
        assert plan.main(list(arguments)) == 2
        return seen.pop()

    return ask


def test_plan_of_ten_of_47_patients_has_published_epsilon(capsys):
    text = run_plan(capsys, "--patients", "47", "--parameters", "5500", "--delta", "1e-3").out
    rows = [line.split() for line in text.splitlines()]
    assert ["47", "10", "0.213", "0.001", "4.61", "5.55"] in rows
    assert ["1", "2.71", "10", "0.5", "20.1"] in rows
    assert text.index("Hypothetical populations — not a guarantee") < text.index(
        "Noise needed: 10 of 47 patients"
    )
    assert "With 47 patients a small ε requires noise" in text


def test_plan_by_default_has_mit_bih_and_the_small_network(asked):
    base, plans, parameters, populations = asked()
    assert [(made.num_units, made.expected_batch_size, made.delta) for made in plans] == [
        (22, 10, 1e-4),
        (44, 10, 1e-4),
        (47, 10, 1e-4),
    ]
    assert base is plans[-1]
    assert (base.noise_multiplier, base.iterations, base.unit, base.accountant) == (
        1.0,
        20,
        "patient",
        "pld",
    )
    assert (parameters, populations) == (20_000, [1_000, 10_000])


def test_plan_uses_each_option(asked):
    base, plans, parameters, populations = asked(
        "--noise-multiplier",
        "2.5",
        "--rounds",
        "7",
        "--patients",
        "300",
        "100",
        "300",
        "--cohort-fraction",
        "0.25",
        "--clip",
        "0.125",
        "--delta",
        "1e-6",
        "--population",
        "5000",
        "400",
        "--parameters",
        "99",
        "--accountant",
        "rdp",
    )
    assert isinstance(base, PrivacyPlan)
    assert [(made.num_units, made.expected_batch_size) for made in plans] == [(100, 25), (300, 75)]
    assert (base.noise_multiplier, base.iterations, base.l2_norm_clip, base.delta) == (
        2.5,
        7,
        0.125,
        1e-6,
    )
    assert (base.accountant, parameters, populations) == ("rdp", 99, [400, 5000])


def test_plan_populations_by_default_exceed_the_patients(asked):
    assert asked("--patients", "2000")[3] == [10_000]


@pytest.mark.parametrize(
    ("sampling", "cohort", "drawn", "accountant"),
    [
        ("poisson", 10, "poisson", "pld"),
        ("fixed", 10, "fixed", "rdp"),
        ("all", 47, "poisson", "pld"),
    ],
)
def test_plan_accepts_three_kinds_of_sampling(asked, sampling, cohort, drawn, accountant):
    base = asked("--sampling", sampling)[0]
    assert (base.expected_batch_size, base.sampling, base.accountant) == (cohort, drawn, accountant)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--noise-multiplier=-1"], "--noise-multiplier=-1.0 is not usable"),
        (["--noise-multiplier=nan"], "--noise-multiplier=nan is not usable"),
        (["--noise-multiplier=much"], "argument --noise-multiplier: invalid float value: 'much'"),
        (["--clip=0"], "--clip=0.0 is not usable"),
        (
            ["--delta=0.1"],
            "--delta=0.1 must be below 1/22 because the unit of privacy is the patient; "
            "use --delta=0.0001",
        ),
        (["--rounds=0"], "argument --rounds: '0' is not a whole number from 1"),
        (
            ["--rounds=100000000000000000000"],
            "argument --rounds: '100000000000000000000' is not a whole number from 1 to 1000000",
        ),
        (["--patients", "-3"], "argument --patients"),
        (["--patients", "5"], "--clients-per-round=10 must be between 1 and the 5 units"),
        (["--clients-per-round=23"], "--clients-per-round=23 must be between 1 and the 22 units"),
        (["--cohort-fraction=1.5"], "1.5 is not a fraction above 0 and at most 1"),
        (["--cohort-fraction=nan"], "nan is not a fraction above 0 and at most 1"),
        (["--cohort-fraction=.5", "--clients-per-round=3"], "not allowed with argument"),
        (
            ["--sampling=all", "--clients-per-round=3"],
            "leave --clients-per-round and --cohort-fraction out",
        ),
        (["--sampling=shuffle"], "argument --sampling: invalid choice"),
        (
            ["--sampling=fixed", "--accountant=pld"],
            "--sampling=fixed has no PLD bound; use --accountant=rdp",
        ),
        (["--population=30"], "--population=30 is below the 47 patients of the training set"),
        (["--epsilon=3"], "unrecognized arguments: --epsilon=3"),
    ],
)
def test_plan_with_an_invalid_value_is_one_line_and_code_2(capsys, arguments, words):
    try:
        code = plan.main(arguments)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("ecgexp-plan: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert "privacy." not in said.err


def test_plan_with_a_large_delta_prints_one_note(capsys):
    said = run_plan(capsys, *QUICK[:-2], "--patients", "44", "47", "--delta", "0.01")
    notes = [
        line
        for line in said.err.splitlines()
        if line.startswith("note: --delta=0.01 times 47 units is 0.47")
    ]
    assert len(notes) == 1
    assert "--delta" not in said.out


def test_plan_in_a_pipe_prints_plain_text():
    command = [sys.executable, "-m", "ecgexp.cli.plan", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) > 80, "a sentence is wrapped"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecgexp.cli import plan;"
        "assert not {'dp_accounting', 'scipy', 'tensorflow', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
