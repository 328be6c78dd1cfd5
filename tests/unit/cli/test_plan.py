"""What `ecgexp-plan` prints from settings alone; its plan of a run is that of the run itself."""

import subprocess
import sys

import pytest

from ecgexp.cli import plan

PATIENTS = (
    "trainer=federated",
    "partition=by_patient",
    "privacy=patient",
    "trainer.sampling=poisson",
    "trainer.clients_per_round=10",
)
QUICK = (*PATIENTS, "privacy.accountant=rdp", "privacy.noise_multiplier=1", "trainer.num_rounds=2")


def run_plan(capsys, *arguments):
    assert plan.main(list(arguments)) == 0
    return capsys.readouterr()


@pytest.fixture
def asked(monkeypatch):
    """The plans that reach the tables, which are not computed."""
    seen = []

    def instead(base, plans, *, num_parameters, populations, on_progress):
        seen.append((base, list(plans), num_parameters, list(populations)))
        raise plan.ConfigError("enough")

    monkeypatch.setattr("ecgexp.privacy.feasibility.feasibility_of", instead)

    def ask(*arguments):
        assert plan.main(list(arguments)) == 2
        return seen.pop()

    return ask


def test_plan_of_ten_of_47_patients_has_published_epsilon(capsys, monkeypatch):
    monkeypatch.setattr("ecgexp.experiment.plan_variants._FACTORS", ())
    text = run_plan(
        capsys,
        *PATIENTS,
        "privacy.noise_multiplier=1",
        "privacy.delta=1e-3",
        "--units=47",
        "--parameters=5500",
    ).out
    rows = [line.split() for line in text.splitlines()]
    assert ["47", "10", "0.213", "0.001", "4.61", "5.55"] in rows
    assert ["1", "2.71", "10", "0.5", "20.1"] in rows
    assert text.index("Hypothetical populations — not a guarantee") < text.index(
        "Noise needed: 10 of 47 patients"
    )
    assert "With 47 patients a small ε requires noise" in text
    this_run = next(row for row in rows if row[:2] == ["this", "run"])
    assert this_run[2:4] == ["4.61", "2.71"]


def test_plan_uses_the_settings_of_the_run(asked):
    base, plans, parameters, populations = asked(
        "trainer=dp",
        "trainer.epochs=7",
        "trainer.expected_batch_size=50",
        "privacy.noise_multiplier=2.5",
        "privacy.l2_norm_clip=0.125",
        "--units=1000,5000,1000",
        "--parameters=99",
    )
    assert [(made.num_units, made.expected_batch_size, made.unit) for made in plans] == [
        (1000, 50, "beat"),
        (5000, 50, "beat"),
    ]
    assert base is plans[-1]
    assert (base.noise_multiplier, base.iterations, base.l2_norm_clip) == (2.5, 700, 0.125)
    assert (parameters, populations) == (99, [])


def test_plan_of_few_patients_has_hypothetical_populations(asked):
    assert asked(*QUICK, "--units=47")[3] == [1_000, 10_000]
    assert asked(*QUICK, "--units=2000")[3] == [10_000]
    assert asked(*QUICK, "privacy.hypothetical_population=400", "--units=47")[3] == [400]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "nope"),
        (["--units=0"], "argument --units: '0' is not a whole number from 1"),
        (["--units=many"], "argument --units: 'many' is not a whole number"),
        (["--units=22"], "--units: the run has no privacy guarantee"),
        (["trainer=dp", "--units=999"], "use privacy.noise_multiplier=1.1"),
        ([*QUICK, "--units=5"], "trainer.clients_per_round=10 must be between 1 and the 5 units"),
        ([*QUICK, "privacy.delta=0.1", "--units=22"], "privacy.delta=0.1 must be below 1/22"),
        (["trainer.epcohs=3"], "did you mean trainer.epochs"),
        (["seed=1", "seed=2"], "seed=2 is set twice"),
        (["dataset=mitdb", "data.root=nowhere"], "ecgexp-fetch mitdb"),
        (["--patients=47"], "unrecognized arguments: --patients=47"),
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


def test_plan_in_a_pipe_is_plain_text_and_has_other_settings(tmp_path):
    """Shorter and longer runs, and other batches; one note on a large δ."""
    words = [*QUICK, "privacy.hypothetical_population=50", "privacy.delta=0.01", "--units=44,47"]
    command = [sys.executable, "-m", "ecgexp.cli.plan", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) > 80, "a sentence is wrapped"
    assert {line.split()[0] for line in lines if line.startswith("trainer.")} == {
        "trainer.num_rounds=1",
        "trainer.num_rounds=4",
        "trainer.clients_per_round=5",
        "trainer.clients_per_round=20",
    }
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len([note for note in warnings if "0.01 times 47 units is 0.47" in note]) == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecgexp.cli import plan;"
        "assert not {'dp_accounting', 'scipy', 'tensorflow', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
