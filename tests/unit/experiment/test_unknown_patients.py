"""Nothing is divided, protected or scored by patient if nothing states whose the beats are."""

from dataclasses import replace

import numpy as np
import pytest

from ecgexp.config import load_experiment
from ecgexp.data.partition.natural import Pooled
from ecgexp.data.splits.base import Split
from ecgexp.experiment.artifacts import describe_data
from ecgexp.experiment.data import assemble
from ecgexp.experiment.part_checks import check_patients_known
from ecgexp.experiment.plan import _splits as plan_splits
from ecgexp.experiment.plan_text import _split as split_text
from ecgexp.privacy.publication import is_published
from ecgexp.seeding import Seeds
from ecgexp.settings.declaration import ConfigError
from tests.support.tiny_records import make_beats

DP = ["trainer=dp", "privacy.noise_multiplier=1.1"]


@pytest.mark.parametrize(
    ("overrides", "setting", "remedy"),
    [
        (["split=inter_patient"], "split=inter_patient", "split=intra_patient"),
        (["split=patient_kfold"], "split=patient_kfold", "split=intra_patient"),
        (
            ["split=intra_patient", "trainer=federated", "partition=by_patient"],
            "partition=by_patient",
            "partition=iid",
        ),
        (
            ["split=intra_patient", "trainer=federated", "partition=by_record"],
            "partition=by_record",
            "partition=iid",
        ),
    ],
)
def test_parts_by_unknown_patient_raise(overrides, setting, remedy):
    experiment = load_experiment(overrides)
    parts = {"split": experiment.split, "partition": experiment.partition}
    check_patients_known(True, **parts, privacy=experiment.privacy)
    with pytest.raises(ConfigError, match=f"^{setting}: .*{remedy}.*dataset.patients="):
        check_patients_known(False, **parts, privacy=experiment.privacy)


@pytest.mark.parametrize("unit", ["patient", "record"])
def test_guarantee_by_unknown_patient_raises(unit):
    experiment = load_experiment([*DP, f"privacy.unit={unit}"])
    beat_level = {
        "split": load_experiment(["split=intra_patient"]).split,
        "partition": experiment.partition,
    }
    with pytest.raises(ConfigError, match=rf"^privacy.unit={unit}: .*privacy.unit=beat"):
        check_patients_known(False, **beat_level, privacy=experiment.privacy)
    check_patients_known(False, **beat_level, privacy=replace(experiment.privacy, unit="beat"))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ("stated", "1 beat of 1 patient: N"),
        ("assumed", "1 beat of 1 record, each taken for a patient: N"),
        ("unknown", "1 beat, patients unknown: N"),
    ],
)
def test_plan_and_data_say_how_patients_are_known(known, words):
    beats = replace(make_beats(["a", "a", "b"]), patients_are=known)
    split = Split(
        train=np.array([0]), validation=np.array([1]), test=np.array([2]), disjoint="beat"
    )
    run_data = assemble(beats, split, Pooled(), Seeds(0), features=dict)
    sizes = plan_splits(run_data)
    assert words in split_text(sizes["test"], known).replace("\xa0", " ")
    data = describe_data(run_data)
    assert data["patients_are"] == known
    assert data["patients"] == ({} if known == "unknown" else dict.fromkeys(sizes, 1))
    assert beats.source("test").startswith("synthetic 1, test")
    assert ("patient" in beats.source("test")) == (known != "stated")
    assert is_published("result key", "data/patients_are")
