"""A network is trained without each patient by the same code as a classical model."""

import numpy as np

from ecgexp.config.compose import load_experiment
from ecgexp.experiment.leave_one_out import PatientBeats
from ecgexp.experiment.left_out_folds import Candidate, predict_left_out
from tests.support.tiny_records import make_beats


def test_network_learns_from_the_other_patients():
    labels = np.arange(80) % 2
    beats = make_beats(np.repeat(["a", "b"], 40), labels=labels)
    rows = (labels[:, None] + 0.1 * np.random.default_rng(0).standard_normal((80, 7))).astype(
        np.float32
    )
    experiment = load_experiment(
        [
            "model=mlp",
            "features=handcrafted",
            "model.units=[8]",
            "model.dropout=0",
            "trainer.epochs=4",
            "trainer.batch_size=8",
            "trainer.learning_rate=0.02",
        ]
    )
    patients = PatientBeats(beats=beats, rows=np.arange(80), features={"handcrafted": rows})
    one = Candidate(name="", experiment=experiment, patients=patients)
    found = predict_left_out([one], lambda *_: None).probabilities[0]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    assert (found.argmax(axis=1) == labels).mean() > 0.9
