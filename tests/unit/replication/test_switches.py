"""The switches.

Off unless experiment=replication/… turns them on, and without a trace while they are off.
"""

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from start_line import after_start

from ecgexp.augmentation import NoAugmentation
from ecgexp.config.compose import load_config, load_experiment
from ecgexp.data import InterPatient, IntraPatient
from ecgexp.experiment.experiment import Experiment
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.replication.protocol_errors import ProtocolErrors, switches
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.centralized import Centralized
from ecgexp.training.dp.trainer import DpSgd

COMMAND = str(Path(sys.executable).parent / "ecgexp")
EVERY = tuple(item.name for item in fields(ProtocolErrors) if item.name != "protocol")
PROTOCOLS = ("central", "dp", "federated")


def replication(protocol, *on, more=()):
    """`experiment=replication/…` with only these switches on."""
    words = [f"protocol_errors.{name}={str(name in on).lower()}" for name in switches(protocol)]
    return load_experiment([f"experiment=replication/{protocol}", *words, *more])


def test_ordinary_experiment_knows_no_protocol_errors():
    assert type(load_experiment()) is Experiment
    assert "protocol_errors" not in load_config([])
    assert not hasattr(load_experiment(), "protocol_errors")


@pytest.mark.parametrize("name", EVERY)
def test_switch_is_accepted_by_the_protocols_that_had_the_error(name):
    for protocol in PROTOCOLS:
        words = [f"experiment=replication/{protocol}", f"protocol_errors.{name}=true"]
        if name in switches(protocol):
            assert name in load_experiment(words).protocol_errors.names
        else:
            with pytest.raises(ConfigError, match=rf"protocol_errors\.{name} is not a setting"):
                load_experiment(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["experiment=replication/central_corrected"],
        ["experiment=mitdb_inter_patient_cnn1d_dp_beat"],
    ],
)
@pytest.mark.parametrize("plus", ["", "+"])
def test_switch_is_refused_by_ordinary_experiments(words, plus):
    with pytest.raises(ConfigError, match=r"protocol_errors") as error:
        load_experiment([*words, f"{plus}protocol_errors.split_by_beat=true"])
    assert "\n" not in str(error.value)


def test_root_target_that_is_no_experiment_is_refused():
    with pytest.raises(
        ConfigError, match=r"^_target_=.*Cnn1d: .*Experiment; use ecgexp.experiment.Experiment"
    ):
        load_experiment(["+_target_=ecgexp.models.Cnn1d"])


def test_own_file_that_begins_with_a_replication_is_one(tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [replication/central]\n", encoding="utf-8"
    )
    words = [
        COMMAND,
        f"hydra.searchpath=[file://{folder.parent}]",
        "experiment=mine",
        "--cfg",
        "job",
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "_target_: ecgexp.replication.ReplicationExperiment" in done.stdout


def test_refused_switch_imports_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "raise SystemError('TensorFlow was imported')\n", encoding="utf-8"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    }
    words = [
        COMMAND,
        "experiment=mitdb_inter_patient_resnet1d_centralized",
        "protocol_errors.split_by_beat=true",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 2
    error = after_start(done.stderr)
    assert error.count("\n") == 1
    assert "protocol_errors" in error


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_begins_with_all_its_faults(protocol):
    assert load_experiment(
        [f"experiment=replication/{protocol}"]
    ).protocol_errors.names == switches(protocol)


def test_no_fault_is_forgotten_by_the_protocols():
    assert {name for protocol in PROTOCOLS for name in switches(protocol)} == set(EVERY)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_with_all_off_nothing_is_replaced_and_nothing_marked(protocol):
    sound = replication(protocol)
    assert sound.resolved() is sound
    assert sound.is_private == sound.states_privacy_loss == (protocol == "dp")
    assert (sound.marks(), sound.tags(), sound.notices()) == ({}, {}, ())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replaying_twice_changes_nothing_more(protocol):
    once = load_experiment([f"experiment=replication/{protocol}"])
    assert once.resolved() == once
    assert replace(once, seed=1).protocol_errors == once.protocol_errors


def test_each_central_switch_replaces_one_part_and_no_other():
    sound = replication("central")
    parts = {
        "split_by_beat": {"split"},
        "stand_in_lead": {"dataset"},
        "beat_cap": {"dataset", "grouping"},
        "last_checkpoint": {"selection"},
        "autoscale": {"features"},
        "augment_before_split": {"augmentation"},
        "default_to_normal": set(),
    }
    assert set(parts) == set(switches("central"))
    for name, expected in parts.items():
        with_protocol_errors = replication("central", name)
        differ = {
            item.name
            for item in fields(sound)
            if getattr(sound, item.name) != getattr(with_protocol_errors, item.name)
        }
        assert differ - {"protocol_errors", "grouping"} == expected - {"grouping"}, name
    assert isinstance(sound.split, InterPatient)
    assert isinstance(replication("central", "split_by_beat").split, IntraPatient)
    assert (
        sound.dataset.missing_lead,
        replication("central", "stand_in_lead").dataset.missing_lead,
    ) == (
        "skip",
        "first",
    )
    assert (sound.features.scale, replication("central", "autoscale").features.scale) == (
        "fixed",
        "autoscale",
    )
    assert replication("central", "last_checkpoint").selection.weights == "last"


def test_noise_that_never_runs_has_no_guarantee():
    sound, with_protocol_errors = (
        replication("dp"),
        replication("dp", "noise_never_runs", "batch_norm_under_dp"),
    )
    assert isinstance(sound.trainer, DpSgd)
    assert type(with_protocol_errors.trainer) is Centralized
    assert (with_protocol_errors.trainer.epochs, with_protocol_errors.trainer.batch_size) == (
        sound.trainer.epochs,
        sound.trainer.expected_batch_size,
    )
    assert (with_protocol_errors.trainer.optimizer, with_protocol_errors.trainer.learning_rate) == (
        "sgd",
        sound.trainer.learning_rate,
    )
    assert isinstance(with_protocol_errors.privacy, NotPrivate)
    assert with_protocol_errors.privacy.intended == sound.privacy
    assert with_protocol_errors.model.normalization == "batch"
    assert not with_protocol_errors.is_private


@pytest.mark.parametrize(
    "name", ["epsilon_of_all_rows", "shuffled_as_poisson", "copies_as_beats", "split_by_beat"]
)
def test_a_private_run_with_any_fault_is_a_simulation(name):
    with_protocol_errors = replication("dp", name)
    assert isinstance(with_protocol_errors.privacy, PrivacySpec)
    assert not with_protocol_errors.states_privacy_loss
    plan = with_protocol_errors.privacy.plan(num_units=2_000, expected_batch_size=100, epochs=1)
    assert plan.is_simulation
    assert not plan.has_privacy_guarantee
    assert plan.sampling == ("shuffle" if name == "shuffled_as_poisson" else "poisson")


def test_batch_normalization_cannot_be_trained_where_the_noise_runs():
    with pytest.raises(
        ConfigError, match=r"use protocol_errors\.batch_norm_under_dp=false, or protocol"
    ):
        replication("dp", "batch_norm_under_dp")


def test_protocol_without_guarantee_is_refused_with_privacy():
    protected = replace(
        replication("dp"), protocol_errors=ProtocolErrors(protocol="central", split_by_beat=True)
    )
    with pytest.raises(
        ConfigError, match=r"protocol_errors\.split_by_beat=true: .*use privacy=none"
    ):
        protected.resolved()


def test_copies_before_the_split_need_copies():
    with pytest.raises(
        ConfigError, match=r"augmentation=none makes none; use augmentation=replication"
    ):
        replace(
            replication("central", "augment_before_split"), augmentation=NoAugmentation()
        ).resolved()


def test_a_round_less_is_one_round_less_and_no_other_setting():
    trainer, sound = (
        replication("federated", "one_round_less").trainer,
        replication("federated").trainer,
    )
    assert (sound.num_steps, trainer.num_steps) == (20, 19)
    assert all(getattr(trainer, item.name) == getattr(sound, item.name) for item in fields(sound))


CLASSES = ("L", "N", "V")


def test_a_prediction_is_read_as_n_where_no_class_passes_a_half():
    probabilities = np.array(
        [
            [0.4, 0.3, 0.3],
            [0.5, 0.2, 0.3],
            [0.51, 0.29, 0.2],
            [0.1, 0.45, 0.45],
            [0.2, 0.1, 0.7],
            [0.3, 0.25, 0.45],
        ]
    )
    read = ProtocolErrors(protocol="central", default_to_normal=True).read(probabilities, CLASSES)
    assert [CLASSES[label] for label in read.argmax(axis=1)] == ["N", "N", "L", "N", "V", "N"]
    np.testing.assert_allclose(read[5], [0.3, 0.45, 0.25], rtol=1e-15)
    np.testing.assert_array_equal(read[[2, 4]], probabilities[[2, 4]])


def test_without_the_switch_probabilities_are_not_touched():
    probabilities = np.array([[0.4, 0.3, 0.3]])
    assert ProtocolErrors(protocol="dp").read(probabilities, ("A", "B", "C")) is probabilities


def test_what_is_read_is_a_table_of_probabilities_still():
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), 500)
    probabilities[:2] = [[0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]]  # of equals, N
    before = probabilities.copy()
    read = ProtocolErrors(protocol="dp", default_to_normal=True).read(probabilities, CLASSES)
    np.testing.assert_array_equal(probabilities, before)
    np.testing.assert_allclose(np.sort(read, axis=1), np.sort(before, axis=1), rtol=1e-15)
    doubtful = before.max(axis=1) <= 0.5
    assert (read.argmax(axis=1)[doubtful] == 1).all()
    assert 50 < doubtful.sum() < 450
    np.testing.assert_array_equal(read[~doubtful], before[~doubtful])


def test_it_says_so_where_there_is_no_class_n():
    with pytest.raises(
        ConfigError,
        match=r"needs a class N, .* L, V; use protocol_errors\.default_to_normal=false",
    ):
        ProtocolErrors(protocol="central", default_to_normal=True).read(
            np.ones((1, 2)) / 2, ("L", "V")
        )
