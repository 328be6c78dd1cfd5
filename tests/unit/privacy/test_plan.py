import math
import warnings
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest
import yaml
from scipy.stats import binom

from ecgexp.privacy import accounting, dp_events
from ecgexp.privacy.plan import default_delta, safe_capacity
from ecgexp.privacy.settings import NotPrivate, PrivacySpec
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.settings.location import config_dir


def plan(num_units=1000, batch=100, iterations=10, **spec):
    spec = {"noise_multiplier": 1.0} | spec
    return PrivacySpec(**spec).plan(
        num_units=num_units, expected_batch_size=batch, iterations=iterations
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "use privacy.noise_multiplier=1.1 or privacy.target_epsilon=3"),
        (
            {"noise_multiplier": 1.0, "target_epsilon": 3.0},
            "contradict each other; set one of them to null",
        ),
        ({"noise_multiplier": -1.0}, "privacy.noise_multiplier=-1.0 is not usable"),
        ({"noise_multiplier": math.nan}, "privacy.noise_multiplier=nan is not usable"),
        ({"noise_multiplier": 1.0, "l2_norm_clip": 0.0}, "privacy.l2_norm_clip=0.0 is not usable"),
        ({"noise_multiplier": 1.0, "unit": "image"}, "privacy.unit='image' is not usable"),
        (
            {"noise_multiplier": 1.0, "sampling": "fixed"},
            "use privacy.accountant=rdp, or privacy.sampling=poisson",
        ),
        (
            {"noise_multiplier": 1.0, "sampling": "shuffle", "batch_capacity": 9},
            "use privacy.batch_capacity=null",
        ),
        ({"target_epsilon": 3.0, "max_epsilon": 1.0}, "use privacy.target_epsilon=1"),
        (
            {"target_epsilon": 1e-7},
            "privacy.target_epsilon=1e-07 .*use privacy.target_epsilon=0.001",
        ),
        ({"target_epsilon": 1e8}, r"privacy.target_epsilon=1e\+08 .*use a smaller"),
        ({"noise_multiplyer": 1.0}, "did you mean privacy.noise_multiplier"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_what_to_type(values, message):
    with pytest.raises(ConfigError, match=message):
        build(PrivacySpec, values, path="privacy")


@pytest.mark.parametrize(
    ("units", "delta"),
    [
        (1, 1e-2),
        (2, 1e-3),
        (9, 1e-3),
        (10, 1e-3),
        (11, 1e-4),
        (22, 1e-4),
        (47, 1e-4),
        (100, 1e-4),
        (101, 1e-5),
        (999, 1e-5),
        (1000, 1e-5),
        (1001, 1e-6),
        (52_367, 1e-7),
        (10**9, 1e-11),
        (10**10, 1e-12),
    ],
)
def test_delta_default_is_the_largest_power_of_ten_allowed(units, delta):
    assert default_delta(units) == delta
    assert Fraction(repr(delta)) * units <= Fraction(1, 100) < Fraction(repr(delta)) * 10 * units
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan(num_units=units, batch=1, iterations=1).delta == delta
        plan(num_units=units, batch=1, iterations=1, delta=delta)


def test_delta_default_keeps_its_rule_for_every_number_of_units():
    for units in (*range(1, 2000), *(10**k + d for k in range(4, 10) for d in (-1, 0, 1))):
        exact = Fraction(repr(default_delta(units)))
        assert exact * units <= Fraction(1, 100) < exact * 10 * units
        assert exact < Fraction(1, units)


def test_delta_not_below_one_over_units_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"privacy.delta=0.1 must be below 1/22 because .* the patient; use "
        r"privacy.delta=0.0001",
    ):
        plan(num_units=22, batch=5, delta=0.1, unit="patient")
    with pytest.raises(ConfigError, match="privacy.delta=0.001 must be below 1/1000"):
        plan(num_units=1000, delta=0.001)


@pytest.mark.parametrize("delta", [9.9e-13, 1e-15, 1e-300, 5e-324])
@pytest.mark.parametrize("accountant", ["pld", "rdp"])
def test_delta_below_what_is_resolved_is_refused(delta, accountant):
    with pytest.raises(ValueError, match=r"privacy.delta=.* use privacy.delta=1e-12"):
        plan(delta=delta, accountant=accountant)
    assert plan(delta=1e-12).delta == 1e-12


def test_population_whose_delta_is_not_resolved_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"privacy.hypothetical_population=10000000001 .* use "
        r"privacy.hypothetical_population=10000000000",
    ):
        plan(hypothetical_population=10**10 + 1)
    assert plan(hypothetical_population=10**10).hypothetical_population == 10**10


@pytest.mark.parametrize(
    ("units", "delta"), [(52_367, 4e-6), (22, 1e-3), (41_000, 1e-6), (10, 1.0001e-3)]
)
def test_delta_typed_above_a_hundredth_of_a_unit_warns(units, delta):
    with pytest.warns(
        UserWarning,
        match=f"privacy.delta={delta:g} times {units} units is .*, above 0.01.*privacy.delta=",
    ) as warned:
        plan(num_units=units, batch=1, delta=delta)
    # A private run shows the warnings of this file, and withholds those of files that the table of
    # outputs lacks.
    assert warned[0].filename.endswith("ecgexp/privacy/settings.py")


def test_a_plan_derives_everything_else_from_its_fields():
    made = PrivacySpec(noise_multiplier=1.4, l2_norm_clip=1.5).plan(
        num_units=52_367, expected_batch_size=100, epochs=20
    )
    assert made.iterations == 10_480
    assert made.sampling_probability == 100 / 52_367
    assert made.noise_std == pytest.approx(2.1)
    assert made.divisor == 100.0
    assert made.dp_event == dp_events.repeated(
        dp_events.poisson_gaussian(100 / 52_367, 1.4), 10_480
    )
    assert made.has_privacy_guarantee
    with pytest.raises(FrozenInstanceError):
        made.noise_multiplier = 0.1


def test_a_seeded_plan_is_a_simulation_and_zero_is_a_seed():
    assert plan(noise_seed=0).is_simulation
    assert not plan(noise_seed=0).has_privacy_guarantee


@pytest.mark.parametrize(
    "made",
    [
        NotPrivate().plan(num_units=50, expected_batch_size=5, epochs=2),
        *(plan(noise_multiplier=z) for z in (0.0, 1e-12, 9e-7)),
    ],
)
def test_plan_without_noise_has_infinite_epsilon(made):
    assert not made.is_private
    assert not made.has_privacy_guarantee
    assert made.noise_std == 0.0
    assert accounting.epsilon(made.dp_event, made.delta) == math.inf


@pytest.mark.parametrize("batch", [1, 2, 5, 10, 50, 100, 256, 441, 500, 4096])
def test_default_batch_capacity_rarely_overflows(batch):
    units = 100_000
    capacity = safe_capacity(units, batch)
    assert capacity >= 1.5 * batch
    assert binom.sf(capacity, units, batch / units) < 1e-15
    assert not plan(num_units=units, batch=batch).can_overflow


def test_smaller_capacity_records_the_truncated_event():
    event = plan(num_units=52_367, batch=100, batch_capacity=130).step_event
    assert event == dp_events.truncated_gaussian(52_367, 100 / 52_367, 130, 1.0)
    with pytest.raises(ConfigError, match="privacy.batch_capacity=90 is below"):
        plan(batch_capacity=90)


def test_shuffled_batches_record_one_unamplified_step_an_epoch():
    made = PrivacySpec(noise_multiplier=0.8, sampling="shuffle").plan(
        num_units=1000, expected_batch_size=100, epochs=3
    )
    events = [made.event_at(step) for step in range(made.iterations)]
    assert made.iterations == 30
    assert [e == dp_events.gaussian(0.8) for e in events] == [step % 10 == 0 for step in range(30)]
    assert made.dp_event == dp_events.repeated(dp_events.gaussian(0.8), 3)


def test_a_batch_larger_than_the_training_set_is_refused():
    with pytest.raises(
        ConfigError, match="trainer.expected_batch_size=100 must be between 1 and the 20 units"
    ):
        plan(num_units=20)


def test_a_refusal_names_the_setting_that_the_trainer_reads():
    def made(spec, batch):
        return spec.plan(
            num_units=47,
            expected_batch_size=batch,
            iterations=1,
            batch_setting="trainer.clients_per_round",
        )

    message = (
        "trainer.clients_per_round=50 must be between 1 and the 47 units .* use "
        "trainer.clients_per_round=11"
    )
    for spec in (PrivacySpec(noise_multiplier=1.0), NotPrivate()):
        with pytest.raises(ConfigError, match=message):
            made(spec, 50)
    with pytest.raises(
        ConfigError, match="privacy.batch_capacity=9 is below trainer.clients_per_round=10"
    ):
        made(PrivacySpec(noise_multiplier=1.0, batch_capacity=9), 10)


def test_plan_without_privacy_states_units_and_sampling():
    fixed = NotPrivate().plan(
        num_units=47, expected_batch_size=10, iterations=3, sampling="fixed", unit="patient"
    )
    poisson = NotPrivate().plan(num_units=47, expected_batch_size=10, iterations=3, unit="patient")
    assert (fixed.sampling, fixed.batch_capacity) == ("fixed", 10)
    assert (fixed.unit, fixed.neighboring_relation) == ("patient", "replace_one")
    assert (poisson.sampling, poisson.batch_capacity) == ("poisson", safe_capacity(47, 10))
    for made in (fixed, poisson):
        assert (
            accounting.epsilon(
                made.dp_event, made.delta, made.accountant, made.neighboring_relation
            )
            == math.inf
        )
    assert NotPrivate().plan(num_units=47, expected_batch_size=10, iterations=3).unit == "beat"


def test_population_below_the_training_set_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"privacy.hypothetical_population=46 is below the 47 patients .* "
        r"privacy.hypothetical_population=10000",
    ):
        plan(num_units=47, batch=10, unit="patient", hypothetical_population=46)
    assert (
        plan(
            num_units=47, batch=10, unit="patient", hypothetical_population=47
        ).hypothetical_population
        == 47
    )
    assert plan().hypothetical_population is None


def test_calibrated_plan_never_exceeds_its_budget():
    made = PrivacySpec(target_epsilon=3.0).plan(num_units=5000, expected_batch_size=100, epochs=5)
    assert 2.97 <= accounting.epsilon(made.dp_event, made.delta) <= 3.0
    assert made.max_epsilon == 3.0


def test_a_changed_plan_reads_differently():
    assert plan().as_dict() != replace(plan(), noise_multiplier=0.5).as_dict()


@pytest.mark.parametrize(
    "path", sorted(config_dir().glob("privacy/*.yaml")), ids=lambda path: path.stem
)
def test_every_option_of_the_group_builds(path):
    values = yaml.safe_load(path.read_text())
    if values.pop("defaults", None):  # an eps option is dp with another target
        values = yaml.safe_load((path.parent / "dp.yaml").read_text()) | values
    target = values.pop("_target_")
    made = {
        "ecgexp.privacy.PrivacySpec": PrivacySpec,
        "ecgexp.privacy.NotPrivate": NotPrivate,
    }[target]
    if path.stem in ("dp", "patient"):
        values["noise_multiplier"] = 1.1
    spec = build(made, values, path="privacy")
    assert getattr(spec, "unit", "beat") == ("patient" if path.stem == "patient" else "beat")
    assert path.stem in ("none", "dp", "patient") or spec.target_epsilon == float(
        path.stem.removeprefix("eps")
    )
