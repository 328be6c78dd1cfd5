"""The guarantee for rows that were cut elsewhere: of one row, and no claim beyond."""

import pytest

from ecgexp.config import load_experiment
from ecgexp.experiment.setup import planned_ledger
from ecgexp.privacy.statement import planned
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError

DP = ["trainer=dp", "trainer.epochs=1", "privacy.noise_multiplier=1.1"]
DP += ["trainer.expected_batch_size=40"]


@pytest.fixture
def private_run(heartbeat_csv):
    def load(*overrides):
        path = f"dataset.path={heartbeat_csv(num_beats=200)}"
        experiment = load_experiment(["dataset=arrays", path, *DP, *overrides])
        return experiment, experiment.load_run_data(Seeds(0), lambda *_: None)

    return load


def test_statement_of_given_rows_is_for_one_row_only(private_run):
    statement = planned(planned_ledger(*private_run()))
    assert statement.has_privacy_guarantee
    assert "unit: beat (one row of the file)" in statement.line()
    text = statement.text()
    assert "ε is that of one row, and not of one heartbeat" in text
    assert "no window contains the R peak of another beat" not in text
    assert "patient" not in text.partition("Not covered:")[0]


def test_group_of_given_rows_raises(private_run):
    experiment, run_data = private_run("privacy.group=overlap")
    with pytest.raises(ConfigError, match=r"^privacy.group=overlap: .*privacy.group=null"):
        planned_ledger(experiment, run_data)
