"""The switches: off unless experiment=parity/… turns them on, and without a trace while they are off."""

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from ecgexp.augmentation.none import NoAugmentation
from ecgexp.config.compose import for_the_record, load_config, load_experiment
from ecgexp.data.splits import InterPatient, IntraPatient
from ecgexp.privacy.plan import NotPrivate, PrivacySpec
from ecgexp.replication import Flaws
from ecgexp.replication.experiment import replay
from ecgexp.replication.protocol_errors import switches, without_idle
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.training.centralized import Centralized
from ecgexp.training.dp.trainer import DpSgd

COMMAND = str(Path(sys.executable).parent / "ecgexp")
EVERY = tuple(item.name for item in fields(Flaws) if item.name != "protocol")
PROTOCOLS = ("central", "dp", "federated")


def parity(protocol, *on, more=()):
    """`experiment=parity/…` with only these switches on."""
    words = [f"flaws.{name}={str(name in on).lower()}" for name in switches(protocol)]
    return load_experiment([f"experiment=parity/{protocol}", *words, *more])


def test_all_are_off_by_default_and_listed_in_the_configuration():
    assert load_experiment().flaws == Flaws()
    assert Flaws().names == ()
    assert set(load_config([]).flaws) == {"protocol", *EVERY}


@pytest.mark.parametrize("name", EVERY)
def test_each_is_refused_outside_parity_with_what_to_type(name):
    with pytest.raises(
        ConfigError, match=rf"flaws\.{name}=true .*type experiment=parity/\w+, or flaws\.{name}=false"
    ) as error:
        load_experiment([f"flaws.{name}=true"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", EVERY)
def test_each_is_refused_by_every_ordinary_experiment_and_by_the_protocols_that_did_not_have_it(name):
    for protocol in PROTOCOLS:
        words = [f"experiment=parity/{protocol}", f"flaws.{name}=true"]
        if name in switches(protocol):
            assert name in load_experiment(words).flaws.names
        else:
            with pytest.raises(ConfigError, match=rf"flaws\.{name}=true .*experiment=parity/{protocol} had no such"):
                load_experiment(words)
    with pytest.raises(ConfigError, match=rf"flaws\.{name}=true"):
        load_experiment(["experiment=mitdb_parity_central", f"flaws.{name}=true"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["flaws.protocol=central"], r"flaws\.protocol=central .*alone; type experiment=parity/central"),
        (["flaws.protocol=central", "flaws.split_by_beat=true"], r"set by experiment=parity/central alone"),
        (
            ["experiment=mitdb_inter_dp", "flaws.protocol=dp"],
            r"parity/dp alone, not by experiment=mitdb_inter_dp; type",
        ),
        (
            ["experiment=parity/central", "flaws.protocol=dp"],
            r"parity/dp alone, not by experiment=parity/central; type",
        ),
        (["flaws.protocol=no_such"], r"flaws\.protocol=no_such .*or leave flaws\.protocol out"),
    ],
)
def test_nobody_opens_them_by_hand(words, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        load_experiment(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words",
    [["flaws.protocol=central"], ["-m", "flaws.protocol=central", "seed=0,1"], ["-m", "flaws.protocol=central,dp"]],
)
def test_the_command_opens_them_for_nobody_and_leaves_nothing_behind(words, tmp_path):
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "flaws.protocol=central opens switches" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*.json"))


def test_a_file_of_somebody_opens_them_for_nobody(tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults: [parity/central]\n")
    words = [COMMAND, f"hydra.searchpath=[file://{folder.parent}]", "experiment=mine"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "set by experiment=parity/central alone, not by experiment=mine" in done.stderr


def test_the_command_refuses_one_in_one_line_and_without_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemError('TensorFlow was imported')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    words = [COMMAND, "experiment=mitdb_inter_aami", "flaws.split_by_beat=true"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "ecgexp: flaws.split_by_beat=true repeats a fault of the predecessor, to measure it; type experiment=parity/central, or "
        "flaws.split_by_beat=false"
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_begins_with_all_its_faults(protocol):
    assert load_experiment([f"experiment=parity/{protocol}"]).flaws.names == switches(protocol)


def test_no_fault_is_forgotten_by_the_protocols():
    assert {name for protocol in PROTOCOLS for name in switches(protocol)} == set(EVERY)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_with_all_off_nothing_is_replaced_and_nothing_written_down(protocol):
    sound = parity(protocol)
    assert replay(sound) is sound
    assert sound.is_private == sound.makes_promise == (protocol == "dp")
    off = [f"flaws.{name}=false" for name in switches(protocol)]
    assert "flaws" not in for_the_record(load_config([f"experiment=parity/{protocol}", *off]))
    assert "flaws" not in without_idle(to_node(sound))


def test_an_ordinary_configuration_is_kept_as_it_was():
    config = load_config(["seed=3"])
    kept = for_the_record(config)
    assert set(kept) == set(config) - {"flaws"}
    assert "flaws" in for_the_record(load_config(["experiment=parity/central"]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replaying_twice_changes_nothing_more(protocol):
    once = load_experiment([f"experiment=parity/{protocol}"])
    assert replay(once) == once
    assert replace(once, seed=1).flaws == once.flaws


def test_each_central_switch_replaces_one_part_and_no_other():
    sound = parity("central")
    parts = {
        "split_by_beat": {"split"}, "stand_in_lead": {"dataset"}, "beat_cap": {"dataset", "grouping"},
        "last_checkpoint": {"selection"}, "autoscale": {"input"}, "augment_before_split": {"augmentation"},
        "default_to_normal": set(),
    }  # fmt: skip
    assert set(parts) == set(switches("central"))
    for name, expected in parts.items():
        flawed = parity("central", name)
        differ = {item.name for item in fields(sound) if getattr(sound, item.name) != getattr(flawed, item.name)}
        assert differ - {"flaws", "grouping"} == expected - {"grouping"}, name
    assert isinstance(sound.split, InterPatient)
    assert isinstance(parity("central", "split_by_beat").split, IntraPatient)
    assert (sound.dataset.missing_lead, parity("central", "stand_in_lead").dataset.missing_lead) == ("skip", "first")
    assert (sound.input.scale, parity("central", "autoscale").input.scale) == ("fixed", "autoscale")
    assert parity("central", "last_checkpoint").selection.keep == "last"


def test_a_noise_that_never_runs_leaves_plain_training_and_no_promise():
    sound, flawed = parity("dp"), parity("dp", "noise_never_runs", "batch_norm_under_dp")
    assert isinstance(sound.trainer, DpSgd)
    assert type(flawed.trainer) is Centralized
    assert (flawed.trainer.epochs, flawed.trainer.batch_size) == (
        sound.trainer.epochs,
        sound.trainer.expected_batch_size,
    )
    assert (flawed.trainer.optimizer, flawed.trainer.learning_rate) == ("sgd", sound.trainer.learning_rate)
    assert isinstance(flawed.privacy, NotPrivate)
    assert flawed.privacy.intended == sound.privacy
    assert flawed.model.normalization == "batch"
    assert not flawed.is_private


@pytest.mark.parametrize("name", ["epsilon_of_all_rows", "shuffled_as_poisson", "copies_as_beats", "split_by_beat"])
def test_a_private_run_with_any_fault_is_a_simulation(name):
    flawed = parity("dp", name)
    assert isinstance(flawed.privacy, PrivacySpec)
    assert not flawed.makes_promise
    plan = flawed.privacy.plan(num_units=2_000, expected_batch_size=100, epochs=1)
    assert plan.is_simulation
    assert not plan.makes_claim
    assert plan.sampling == ("shuffle" if name == "shuffled_as_poisson" else "poisson")


def test_batch_normalisation_cannot_be_trained_where_the_noise_runs():
    with pytest.raises(ConfigError, match=r"type flaws\.batch_norm_under_dp=false, or flaws\.noise_never_runs=true"):
        parity("dp", "batch_norm_under_dp")


def test_a_protocol_that_promised_nothing_cannot_be_replayed_under_a_promise():
    promised = replace(parity("dp"), flaws=Flaws(protocol="central", split_by_beat=True))
    with pytest.raises(ConfigError, match=r"flaws\.split_by_beat=true .*type privacy=none"):
        replay(promised)


def test_copies_before_the_split_need_copies():
    with pytest.raises(ConfigError, match=r"augmentation=none makes none; type augmentation=parity"):
        replay(replace(parity("central", "augment_before_split"), augmentation=NoAugmentation()))


def test_a_round_less_is_one_round_less_and_no_other_setting():
    trainer, sound = parity("federated", "one_round_less").trainer, parity("federated").trainer
    assert (sound.num_steps, trainer.num_steps) == (20, 19)
    assert all(getattr(trainer, item.name) == getattr(sound, item.name) for item in fields(sound))


CLASSES = ("L", "N", "V")


def test_a_prediction_is_read_as_n_where_no_class_passes_a_half():
    probabilities = np.array(
        [[0.4, 0.3, 0.3], [0.5, 0.2, 0.3], [0.51, 0.29, 0.2], [0.1, 0.45, 0.45], [0.2, 0.1, 0.7], [0.3, 0.25, 0.45]]
    )
    read = Flaws(protocol="central", default_to_normal=True).judged(probabilities, CLASSES)
    assert [CLASSES[label] for label in read.argmax(axis=1)] == ["N", "N", "L", "N", "V", "N"]
    np.testing.assert_allclose(read[5], [0.3, 0.45, 0.25], rtol=1e-15)
    np.testing.assert_array_equal(read[[2, 4]], probabilities[[2, 4]])


def test_without_the_switch_probabilities_are_not_touched():
    probabilities = np.array([[0.4, 0.3, 0.3]])
    assert Flaws().judged(probabilities, ("A", "B", "C")) is probabilities


def test_what_is_read_is_a_table_of_probabilities_still():
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), 500)
    probabilities[:2] = [[0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]]  # of equals, N
    before = probabilities.copy()
    read = Flaws(protocol="dp", default_to_normal=True).judged(probabilities, CLASSES)
    np.testing.assert_array_equal(probabilities, before)
    np.testing.assert_allclose(np.sort(read, axis=1), np.sort(before, axis=1), rtol=1e-15)
    doubtful = before.max(axis=1) <= 0.5
    assert (read.argmax(axis=1)[doubtful] == 1).all()
    assert 50 < doubtful.sum() < 450
    np.testing.assert_array_equal(read[~doubtful], before[~doubtful])


def test_it_says_so_where_there_is_no_class_n():
    with pytest.raises(ConfigError, match=r"needs a class N, and there are L, V; type flaws\.default_to_normal=false"):
        Flaws(protocol="central", default_to_normal=True).judged(np.ones((1, 2)) / 2, ("L", "V"))
