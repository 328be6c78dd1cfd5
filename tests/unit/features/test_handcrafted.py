"""Each of the seven handcrafted features on constructed beats, and their invariances."""

import numpy as np
import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.features.handcrafted import (
    RHYTHM,
    SHAPE,
    HandcraftedFeatures,
    rhythm_features,
    shape_features,
)
from ecgexp.features.inputs import TEMPLATE
from ecgexp.settings.declaration import ConfigError

FS_HZ, BEFORE, AFTER = 200.0, 60, 80
HANDCRAFTED = HandcraftedFeatures(fs_hz=FS_HZ, window_ms=(300.0, 400.0))


def rhythm(periods_s):
    """Return {name: values} of a record with these intervals."""
    r_samples = 100 + np.cumsum(np.r_[0, np.round(np.asarray(periods_s) * 1000)]).astype(int)
    return dict(zip(RHYTHM, rhythm_features(rr_features(r_samples, 1000.0)).T, strict=True))


def waves(*, qrs=1.0, t=0.3, p=0.2, leads=2):
    """Return (window, leads) millivolts: three bumps at the positions of the waves."""
    at_ms = (np.arange(-BEFORE, AFTER) * 1000 / FS_HZ)[:, None]
    bump = lambda center, width: np.exp(-0.5 * ((at_ms - center) / width) ** 2)  # noqa: E731
    return np.repeat(qrs * bump(0, 12) + t * bump(220, 40) + p * bump(-150, 20), leads, axis=1)


def shape(beat, template):
    """Return {name: value} of one beat."""
    found = shape_features(beat[None], template[None], fs_hz=FS_HZ, before=BEFORE)
    return dict(zip(SHAPE, found[0], strict=True))


def test_prematurity_of_a_regular_rhythm_is_zero():
    for values in rhythm([0.8] * 150).values():
        np.testing.assert_allclose(values, 0, atol=1e-4)


@pytest.mark.parametrize("period_s", [0.5, 0.8, 1.3])
def test_early_beat_and_pause_are_in_proportion_to_the_rhythm(period_s):
    periods = np.full(150, period_s)
    periods[[70, 71]] = 0.9 * period_s, 1.1 * period_s
    early = {
        name: values[71] for name, values in rhythm(periods).items()
    }  # the interval before beat 71 is the short one
    local = 0.99  # the beat is one of the last ten
    assert early["early"] == pytest.approx(np.log(0.9 / local) / 0.05, abs=0.05)
    assert early["next_early"] == pytest.approx(np.log(1.1 / local) / 0.05, abs=0.05)
    assert early["early_in_record"] == pytest.approx(np.log(0.9) / 0.05, abs=0.05)


def test_run_of_premature_beats_is_premature_in_its_record():
    found = rhythm([1.0] * 80 + [0.9] * 80)
    assert found["early"][-1] == pytest.approx(0, abs=0.01)
    assert found["early_in_record"][-1] == pytest.approx(np.log(0.9 / 0.95) / 0.05, abs=0.01)


def test_prematurity_is_smaller_in_an_irregular_rhythm():
    """The same premature beat in a regular rhythm and in fibrillation.

    In fibrillation three changes in four are a tenth or more.
    """
    rng = np.random.default_rng(0)
    steady, fibrillating = 0.8 + 0.02 * rng.standard_normal(200), rng.uniform(0.5, 1.1, 200)
    early = []
    for periods in (steady, fibrillating):
        periods[100] = 0.55
        periods[90:100] *= 0.8 / periods[90:100].mean()
        early.append(rhythm(periods)["early"][101])
    assert early[0] < -4
    assert -2 < early[1] < -1


def test_prematurity_is_bounded():
    found = rhythm([0.8] * 20 + [30.0, 0.02] + [0.8] * 20)
    assert all(np.isfinite(values).all() for values in found.values())
    assert {np.abs(values).max() for values in found.values()} == {6.0}


@pytest.mark.parametrize(
    ("other", "changed"), [({"qrs": 1.8}, "qrs"), ({"t": -0.3}, "t_wave"), ({"p": 0.0}, "p_wave")]
)
def test_each_wave_changes_its_own_feature(other, changed):
    unchanged, found = shape(waves(), waves()), shape(waves(**other), waves())
    assert found[changed] > unchanged[changed] + 1.5
    for name in set(SHAPE) - {changed, "size"}:
        assert found[name] == pytest.approx(unchanged[name], abs=0.6)


def test_template_is_like_itself_and_of_its_own_size():
    found = shape(waves(), waves())
    assert found["size"] == pytest.approx(0, abs=1e-6)
    for name in SHAPE[:-1]:
        assert found[name] == pytest.approx((np.log(0.05) + 1) / 0.7, abs=1e-6)


def test_size_feature_grows_with_the_amplitude():
    assert shape(2 * waves(), waves())["size"] == pytest.approx(np.log(2) / 0.3, abs=1e-6)


def test_features_are_invariant_to_gain_and_polarity():
    """A record with half the gain or with inverted polarity has the same features."""
    beat, template = waves(qrs=1.8, p=0.0), waves()
    for factor in (0.5, -1.0):
        assert shape(factor * beat, factor * template) == pytest.approx(
            shape(beat, template), abs=1e-5
        )


def test_flat_lead_gives_finite_features():
    flat = np.zeros((BEFORE + AFTER, 2))
    assert np.isfinite(list(shape(flat, flat).values())).all()
    assert np.isfinite(list(shape(waves(), flat).values())).all()


def test_features_are_averaged_over_any_number_of_leads():
    one, two = waves(qrs=1.8, leads=1), waves(qrs=1.8, leads=2)
    assert shape(one, waves(leads=1)) == pytest.approx(shape(two, waves(leads=2)))


def test_features_are_rhythm_and_shape_concatenated():
    rng = np.random.default_rng(0)
    signals, rr = rng.normal(size=(5, BEFORE + AFTER, 2)), rr_features(np.arange(1, 6) * 300, 360.0)
    found = HANDCRAFTED.transform(signals, rr, np.repeat(waves()[None], 5, axis=0))["handcrafted"]
    assert (found.shape, found.dtype) == ((5, 7), np.float32)
    assert HANDCRAFTED.names() == {"handcrafted"}
    assert HANDCRAFTED.uses_rr
    assert HANDCRAFTED.uses_template
    np.testing.assert_allclose(found[:, :3], rhythm_features(rr), rtol=1e-6)


def test_handcrafted_features_state_what_they_need():
    signals, rr = np.zeros((2, BEFORE + AFTER, 1)), np.full((2, len(RR_FEATURES)), 0.8)
    for intervals, template, missing in (
        (None, signals, "rr="),
        (rr[:, :4], signals, "rr="),
        (rr, None, "templates_mv"),
    ):
        with pytest.raises(ValueError, match=f"pass {missing}"):
            HANDCRAFTED.transform(signals, intervals, template)
    with pytest.raises(
        ValueError, match=r"are 140 samples, but the windows have 100; do not override them"
    ):
        HANDCRAFTED.transform(signals[:, :100], rr, signals[:, :100])


def test_window_without_a_wave_is_refused():
    words = ["features=handcrafted", "model=mlp", "dataset.window_ms=[50,400]"]
    with pytest.raises(
        ConfigError,
        match=r"dataset\.window_ms=\[50\.0, 400\.0\] .*e\.g\. dataset\.window_ms=\[300,400\]",
    ):
        load_experiment(words)


def test_positions_of_waves_follow_the_dataset():
    words = [
        "features=handcrafted",
        "model=mlp",
        "dataset.fs_hz=180",
        "dataset.window_ms=[300,400]",
    ]
    assert load_experiment(words).features == HandcraftedFeatures(
        fs_hz=180.0, window_ms=(300.0, 400.0)
    )


def test_no_beat_level_guarantee_covers_them():
    assert TEMPLATE in HANDCRAFTED.features_crossing_beats
    assert (
        {"rr_previous_s", "rr_next_s", "rr_unsteadiness"}
        < set(HANDCRAFTED.features_crossing_beats)
        < {*RR_FEATURES, TEMPLATE}
    )
    with pytest.raises(ConfigError, match=r"privacy\.unit=beat cannot cover"):
        load_experiment(["features=handcrafted", "model=mlp", "trainer=dp", "privacy=eps3"])
