"""The privacy guarantee of whole experiments on virtual patients, as the command reports it."""

import json
import math

import pytest

from ecgexp.privacy.ledger import PrivacyViolation

SMALL = [
    "trainer=dp",
    "tracking=none",
    "dataset.num_patients=3",
    "dataset.minutes=1",
    "split=intra_patient",
    "num_resamples=0",
    "evaluate_on=[]",
    "trainer.epochs=2",
    "model.filters=[4,4]",
    "model.kernel_sizes=[5,5]",
]


def test_run_with_a_guarantee_states_it(run_in, tmp_path):
    result, written, lines = run_in("privacy.target_epsilon=3", "trainer.expected_batch_size=32")
    privacy = written["privacy"]
    assert privacy == json.loads((tmp_path / "privacy.json").read_text())
    assert (privacy["guarantee"], privacy["simulation"]) == (True, False)
    assert 2.97 <= privacy["epsilon"] <= 3.0
    planned = json.loads((tmp_path / "plan.json").read_text())["privacy"]
    assert (planned["epsilon"], planned["steps"]) == (privacy["epsilon"], privacy["steps"])
    assert privacy["epsilon"] == privacy["epsilon_pld"] == result.metrics["privacy/epsilon"]
    assert privacy["epsilon_rdp"] > privacy["epsilon"] < privacy["epsilon_replace_one"]
    assert privacy["sampling_probability"] == 32 / privacy["num_units"]
    assert privacy["steps"] == 2 * math.ceil(privacy["num_units"] / 32)
    assert (privacy["unit"], privacy["neighboring_relation"], privacy["sampling"]) == (
        "beat",
        "add_or_remove_one",
        "poisson",
    )
    assert any("validation and test data" in text for text in privacy["not_covered"])
    assert not any("class weights" in text for text in privacy["not_covered"])
    spent = [
        line["metrics"]["privacy/epsilon_spent"]
        for line in lines
        if "privacy/epsilon_spent" in line["metrics"]
    ]
    assert 0 < spent[0] < spent[1] == pytest.approx(privacy["epsilon_rdp"])
    assert "not covered" in privacy["statement"]
    text = (tmp_path / "privacy_statement.txt").read_text()
    assert text.startswith("ε = ")
    assert privacy["statement"] in text


def test_simulation_has_no_guarantee(run_in):
    result, written, lines = run_in(
        "privacy.noise_multiplier=1",
        "privacy.noise_seed=0",
        "privacy.unit=patient",
        "trainer.expected_batch_size=1",
    )
    privacy = written["privacy"]
    assert (privacy["guarantee"], privacy["simulation"], privacy["unit"]) == (
        False,
        True,
        "patient",
    )
    assert privacy["epsilon"] is privacy["epsilon_pld"] is privacy["epsilon_rdp"] is None
    assert "has no privacy guarantee" in privacy["statement"]
    assert "simulation" in privacy["statement"]
    guarantees = {
        "privacy/epsilon",
        "privacy/epsilon_pld",
        "privacy/epsilon_rdp",
        "privacy/epsilon_replace_one",
    }
    assert not guarantees & set(result.metrics)
    assert not guarantees & {name for line in lines for name in line["metrics"]}


def test_run_with_unplanned_noise_fails_without_guarantee(run_in, monkeypatch, tmp_path):
    from ecgexp.privacy.noise import NoiseSource

    normal = NoiseSource.normal
    monkeypatch.setattr(NoiseSource, "normal", lambda self, size, std: normal(self, size, std / 10))
    with pytest.raises(PrivacyViolation, match=r"private/error.txt"):
        run_in("privacy.noise_multiplier=1", "trainer.expected_batch_size=64")
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["status"] == "FAILED"
    assert written["reason"].startswith(
        "PrivacyViolation: the message of the error may quote training beats"
    )
    assert "the noise that was added" in (tmp_path / "private" / "error.txt").read_text()
    assert written["privacy"] is None
    assert not (tmp_path / "model").exists()
