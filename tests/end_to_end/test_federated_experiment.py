"""Federated runs as a user meets them.

Whole experiments on virtual patients, by the command's own words.
"""

import json

import numpy as np
import pytest
from placeholder_figures import drawn_figures

from ecgexp.privacy.ledger import PrivacyViolation

pytestmark = pytest.mark.slow

SMALL = [
    "trainer=federated",
    "tracking=none",
    "dataset.num_patients=5",
    "dataset.minutes=1",
    "split=intra_patient",
    "num_resamples=0",
    "trainer.num_rounds=2",
    "model.filters=[4,4]",
    "model.kernel_sizes=[5,5]",
    "model.normalization=none",
]
APART = ["split=inter_patient", "dataset.num_patients=10"]  # five of whom are trained on


def test_a_run_leaves_its_clients_its_curves_and_a_model_that_works_without_tff(run_in, tmp_path):
    from ecgexp.models.saved_classifier import load_classifier

    with drawn_figures():
        result, written, lines = run_in("augmentation=signal", "model.dropout=0.3")
    assert written["data"]["clients"]["train"] == 5
    curves = [line["metrics"] for line in lines if line["step"] is not None]
    assert len(curves) == 2
    for name in (
        "train/loss",
        "train/clients/used",
        "train/bytes_up",
        "validation/macro_f1",
        "validation/clients/accuracy_mean",
    ):
        assert all(np.isfinite(curve[f"curve/{name}"]) for curve in curves), name
    for name in (
        "figures/partition.png",
        "tables/test_per_client.csv",
        "figures/test_per_client.png",
        "tables/partition.csv",
    ):
        assert (tmp_path / name).stat().st_size > 0, name
    probabilities = load_classifier(tmp_path / "model").predict_probabilities(
        np.zeros((2, 180, 1), np.float32)
    )
    assert probabilities.shape == (2, 5)
    assert result.privacy is None


def test_patient_level_epsilon_depends_on_their_number(run_in, tmp_path):
    _, written, _ = run_in(
        *APART,
        "privacy=patient",
        "privacy.noise_multiplier=4",
        "privacy.hypothetical_population=1000",
    )
    privacy = written["privacy"]
    assert (privacy["guarantee"], privacy["unit"], privacy["num_units"], privacy["steps"]) == (
        True,
        "patient",
        5,
        2,
    )
    # Two rounds with everybody in them are a Gaussian of multiplier 4 / sqrt(2), whose curve is
    # known (Balle & Wang 2018).
    assert privacy["delta"] == 1e-3  # the largest power of ten up to 0.01 / 5
    assert privacy["epsilon"] == pytest.approx(gaussian_epsilon(4 / np.sqrt(2), 1e-3), rel=2e-3)
    assert privacy["hypothetical_population"]
    withheld = [
        json.loads(line)["metrics"]
        for line in (tmp_path / "private" / "metrics.jsonl").read_text().splitlines()
    ]
    noised = [
        metrics["curve/train/noise_std"]
        for metrics in withheld
        if "curve/train/noise_std" in metrics
    ]
    assert noised == pytest.approx([4 * 0.5] * 2, rel=0.1)


def test_round_with_unplanned_noise_ends_without_guarantee(run_in, monkeypatch, tmp_path):
    from ecgexp.privacy.noise import NoiseSource

    normal = NoiseSource.normal
    monkeypatch.setattr(NoiseSource, "normal", lambda self, size, std: normal(self, size, std / 2))
    with pytest.raises(PrivacyViolation, match=r"private/error.txt"):
        run_in(*APART, "privacy=patient", "privacy.noise_multiplier=1")
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["status"], written["privacy"]) == ("FAILED", None)
    assert not (tmp_path / "model").exists()


def gaussian_epsilon(noise_multiplier, delta):
    """The ε at which a Gaussian mechanism of sensitivity 1 has `delta`, by Theorem 8 of Balle &
    Wang (2018).
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    a, b = 1 / (2 * noise_multiplier), noise_multiplier
    return brentq(
        lambda e: norm.cdf(a - e * b) - np.exp(e) * norm.cdf(-a - e * b) - delta, 1e-6, 50
    )
