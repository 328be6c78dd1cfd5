"""A part of every kind from an installed plug-in: by YAML, checked, and refused where it cheats."""

from dataclasses import replace

import numpy as np
import pytest
from plugin_packages import GROUPS, install_parts, on_path

from ecgexp.config import load_experiment
from ecgexp.experiment.part_checks import check_can_be_loaded
from ecgexp.experiment.plugin_parts import LedgerWatch, assumptions, plugin_notes
from ecgexp.experiment.setup import planned_ledger
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.statement import PrivacyStatement
from ecgexp.seeding import Seeds
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, DataError

DATA = ["dataset=mine", "grouping=mine", "split=mine", "features=mine", "model=mine", "loss=mine"]
PRIVATE = ["privacy=dp", "privacy.noise_multiplier=1", "trainer.expected_batch_size=32"]
DP = [*DATA, "augmentation=mine", "trainer=dp", *PRIVATE]
SIMULATION = [*DATA, "augmentation=mine", "trainer=mine", *PRIVATE, "privacy.noise_seed=1"]
FEDERATED = [
    *DATA,
    "augmentation=none",
    "partition=mine",
    "trainer=federated",
    "privacy=patient",
    "privacy.noise_multiplier=1",
]


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory):
    with on_path(tmp_path_factory.mktemp("path")) as place:
        install_parts(place)
        yield place


def loaded(*overrides):
    experiment = load_experiment(overrides)
    return experiment, experiment.load_run_data(Seeds(0), lambda *_: None)


def test_part_of_every_kind_is_an_option_and_can_be_loaded_again():
    for overrides, left_out in ((SIMULATION, "partition"), (FEDERATED, "augmentation trainer")):
        experiment = load_experiment(overrides)
        for group in set(GROUPS) - {"privacy", *left_out.split()}:
            part = getattr(experiment, group)
            assert type(part).__name__ == GROUPS[group]
            assert build_node(to_node(part)) == part
        check_can_be_loaded(experiment)


def test_unknown_key_of_a_part_is_refused():
    with pytest.raises(
        ConfigError, match=r"^dataset\.width is not a setting; there are: cheat, pat"
    ):
        load_experiment([*DP, "+dataset.width=3"])


def test_run_data_of_a_plugin_is_loaded_and_planned():
    experiment, data = loaded(*DP)
    assert set(data.data.features) == {"signal"}
    together = experiment.features.transform(data.beats.signals_mv, None)["signal"]
    np.testing.assert_array_equal(data.data.features["signal"], together)
    assert planned_ledger(experiment, data).plan.num_units == 160
    experiment, data = loaded(*FEDERATED)
    assert planned_ledger(experiment, data).plan.num_units == 8


@pytest.mark.parametrize(
    ("part", "cheat", "why"),
    [
        ("dataset", "one beat under two ids", r"^dataset=beats: 1 rows .*; return each beat once"),
        ("split", "changes the beats", "read-only"),
        ("features", "the whole set", r"^features=Steep: signal .*; compute each row from its own"),
        ("features", "state", r"^features=Steep: .*compute each row from its own beat"),
    ],
)
@pytest.mark.parametrize("private", [True, False])
def test_part_that_mixes_beats_is_refused(part, cheat, why, private):
    if private and cheat == "the whole set":
        return  # it gets one beat at a time, see the next test
    overrides = DP if private else [*DATA, "trainer=centralized"]
    with pytest.raises((DataError, ConfigError, ValueError), match=why):
        loaded(*overrides, f'{part}.cheat="{cheat}"')


def test_features_of_whole_records_are_refused_under_privacy():
    patient = [*DP, "privacy.unit=patient", "trainer.expected_batch_size=4"]
    with pytest.raises(ConfigError, match=r"of_record of a plug-in .*; under privacy use"):
        load_experiment([*patient, "features._target_=mine.Whole"])
    _, data = loaded(*DATA, "trainer=centralized", "features._target_=mine.Whole")
    np.testing.assert_array_equal(data.data.features["signal"][:, 0, 0], data.beats.r_samples)


def test_features_that_use_the_whole_set_get_one_beat_under_privacy():
    _, honest = loaded(*DP)
    _, cheating = loaded(*DP, 'features.cheat="the whole set"')
    np.testing.assert_array_equal(honest.data.features["signal"], cheating.data.features["signal"])


def test_units_are_kept_apart_whatever_a_split_says_of_itself():
    by_patient = [*DP, "privacy.unit=patient", "trainer.expected_batch_size=4"]
    with pytest.raises(ConfigError, match=r"^privacy\.unit=patient: .*; use split=inter_patient"):
        loaded(*by_patient, 'split.cheat="divides patients"')


def test_client_with_two_patients_is_refused():
    experiment, data = loaded(*FEDERATED, 'partition.cheat="two patients in a client"')
    with pytest.raises(
        ConfigError, match=r"client p0 holds 8 patients.*; use partition=by_patient"
    ):
        planned_ledger(experiment, data)


@pytest.mark.parametrize(
    ("cheat", "why"),
    [
        ("more units", "num_units=1600, and .* give 160; return what privacy.plan"),
        ("more noise", "noise_multiplier=10.0, and .* give 1.0; return what privacy.plan"),
    ],
)
def test_plan_of_a_trainer_that_is_not_that_of_the_settings_is_refused(cheat, why):
    experiment, data = loaded(*SIMULATION, f'trainer.cheat="{cheat}"')
    with pytest.raises(ConfigError, match=f"^trainer=steps: its plan has {why}"):
        planned_ledger(experiment, data)


def test_trainer_gets_no_guarantee_since_its_noise_cannot_be_checked():
    with pytest.raises(ConfigError, match=r"^trainer=steps: .* noise; .* use trainer=dp or"):
        load_experiment([*DATA, "augmentation=mine", "trainer=mine", *PRIVATE])
    assert not load_experiment(SIMULATION).has_privacy_guarantee


def test_ledger_without_the_planned_steps_ends_the_run():
    experiment, data = loaded(*DP, "trainer.epochs=2")
    plan = planned_ledger(experiment, data).plan
    ledger = Ledger(plan)
    watch = LedgerWatch(ledger, 2)
    with pytest.raises(PrivacyViolation, match="0 steps were recorded .* for which 5 are planned"):
        watch.check(1, has_event=True)
    ledger.stopped_by_budget = True  # it is not: there is no budget
    with pytest.raises(PrivacyViolation, match="0 steps were recorded"):
        watch.check(1, has_event=True)
    ledger.record(plan.step_event, 5)
    watch.check(1, has_event=True)
    with pytest.raises(PrivacyViolation, match="no privacy guarantee"):
        watch.check(1, has_event=False)
    with pytest.raises(PrivacyViolation, match="5 steps were recorded .* for which 10 are planned"):
        watch.check(2, has_event=True)


def test_statement_names_the_parts_and_what_is_assumed_of_them():
    experiment = load_experiment(DP)
    found = assumptions(experiment)
    parts = ["dataset", "split", "features", "augmentation", "model", "loss"]
    assert [part for part, _ in found] == [f"{one} of the plug-in mine (mine 1.0)" for one in parts]
    (note,) = plugin_notes(experiment)["plug-ins"]
    assert all(part in note for part in parts)
    plan = experiment.privacy.plan(num_units=160, expected_batch_size=32, epochs=2)
    plain = PrivacyStatement(
        plan=plan,
        steps=10,
        epsilon_pld=1.0,
        epsilon_rdp=1.1,
        epsilon_replace_one=2.0,
        not_covered=("size",),
    )
    statement = replace(plain, assumptions=found)
    assert "rests on code of plug-ins: dataset of the plug-in mine (mine 1.0)" in statement.line()
    for part, assumed in found:
        assert f"- {part}: {assumed};" in statement.text()
    assert len(statement.as_dict()["assumptions"]) == len(parts)
    assert "plug-in" not in plain.line() + plain.text()


def test_grouping_and_privacy_of_a_plugin_are_refused():
    with pytest.raises(ConfigError, match=r"^grouping\._target_=mine.OwnGrouping: .*; use ecgexp"):
        load_experiment([*DP, "grouping._target_=mine.OwnGrouping"])
    with pytest.raises(ConfigError, match=r"privacy=<mine.parts>: .*; use privacy=dp"):
        load_experiment([*DATA, "trainer=dp", "privacy=mine"])


def test_subclass_that_no_yaml_may_name_is_refused():
    from mine import OwnGrouping

    experiment = load_experiment(DP)
    own = OwnGrouping(name="own", classes=dict(experiment.grouping.classes))
    with pytest.raises(ConfigError, match=r"^grouping=<.*OwnGrouping>: could not be loaded again"):
        check_can_be_loaded(replace(experiment, grouping=own))
