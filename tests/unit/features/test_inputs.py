from dataclasses import replace

import numpy as np
import pytest
from tiny_records import make_beats

from ecgexp.data.beats import RR_FEATURES
from ecgexp.data.preprocessing.windows import rr_features
from ecgexp.features.foreign import transform_checked
from ecgexp.features.inputs import TEMPLATE, ImageFeatures, SignalFeatures, feature_shapes
from ecgexp.settings.declaration import ConfigError, build


@pytest.fixture
def signals_mv():
    return np.random.default_rng(0).normal(0.3, 2.0, (6, 180, 2)).astype(np.float32)


def test_each_lead_of_each_beat_is_normalized_separately(signals_mv):
    signal = SignalFeatures().transform(signals_mv, None)["signal"]
    np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(signal.std(axis=1), 1, atol=1e-5)


def test_features_of_a_beat_are_independent_of_other_beats(signals_mv):
    together = SignalFeatures().transform(signals_mv, None)["signal"]
    alone = SignalFeatures().transform(signals_mv[2:3], None)["signal"]
    np.testing.assert_array_equal(together[2], alone[0])


def test_flat_window_is_centered_not_amplified():
    flat = np.full((1, 180, 1), 3.0, np.float32) + np.float32(1e-7)
    assert np.abs(SignalFeatures().transform(flat, None)["signal"]).max() < 1e-3


def test_millivolts_without_normalization_are_unchanged(signals_mv):
    np.testing.assert_array_equal(
        SignalFeatures(normalize="none").transform(signals_mv, None)["signal"], signals_mv
    )


def test_rr_is_a_second_input_that_depends_on_other_beats(signals_mv):
    with_rr = SignalFeatures(rr=True)
    features = with_rr.transform(signals_mv, np.full((6, len(RR_FEATURES)), 0.8, np.float32))
    assert feature_shapes(features) == {"signal": (180, 2), "rr": (4,)}
    assert with_rr.features_crossing_beats == RR_FEATURES[:4]
    assert SignalFeatures().features_crossing_beats == ()
    with pytest.raises(ValueError, match="pass rr="):
        with_rr.transform(signals_mv, None)


def test_rhythm_features_are_independent_of_heart_rate():
    """A premature beat and its pause have the same features at any heart rate."""
    rhythm = SignalFeatures(rr="rhythm")
    rows = []
    for period in (0.6, 1.1):
        r_samples = np.cumsum(np.r_[1, np.full(60, 360 * period)])
        r_samples[30] -= round(360 * period * 0.3)
        rows.append(rhythm.transform(np.zeros((61, 180, 1)), rr_features(r_samples, 360.0))["rr"])
    np.testing.assert_allclose(rows[0][:, 4:], rows[1][:, 4:], atol=0.02)
    assert rows[0].shape == (61, 18)
    early = rows[0][30, 4:]
    np.testing.assert_allclose(early[[4, 5]], np.log([0.7, 1.3]) / 0.2, atol=0.02)
    np.testing.assert_allclose(np.delete(early, [4, 5]), 0, atol=0.02)
    assert rhythm.features_crossing_beats == RR_FEATURES[:19]


def test_beat_is_stacked_with_the_template_of_its_record(signals_mv):
    median = np.repeat(
        np.sin(np.linspace(0, 9, 180, dtype=np.float32))[None, :, None], 6, axis=0
    ) * np.float32([0.4, 2.0])
    seen = SignalFeatures(normalize="record", difference=True)
    assert seen.features_crossing_beats == (TEMPLATE,)
    features = seen.transform(median * 1.5, None, median)["signal"]
    assert features.shape == (6, 180, 4)
    unit = (median - median.mean(axis=1, keepdims=True)) / median.std(axis=1, keepdims=True)
    offset = 0.5 * median.mean(axis=1, keepdims=True) / median.std(axis=1, keepdims=True)
    np.testing.assert_allclose(features[..., :2], 1.5 * unit + offset, atol=1e-5)
    np.testing.assert_allclose(features[..., 2:], features[..., :2] - unit, atol=1e-5)
    np.testing.assert_allclose(
        seen.transform(median * 10, None, median * 10)["signal"][..., :2], unit, atol=1e-5
    )
    with pytest.raises(ValueError, match="pass templates_mv"):
        seen.transform(signals_mv, None)


def test_features_with_a_template_are_bounded():
    flat = np.zeros((1, 180, 1), np.float32)
    assert (
        np.abs(SignalFeatures(normalize="record").transform(flat + 100, None, flat)["signal"]).max()
        == 8
    )


def test_difference_without_common_scale_is_refused():
    with pytest.raises(ConfigError, match="features.normalize=record"):
        build(SignalFeatures, {"difference": True}, path="features")


def test_images_are_bytes_with_one_channel(signals_mv):
    image = ImageFeatures().transform(signals_mv, None)["image"]
    assert image.shape == (6, 64, 64, 1)
    assert image.dtype == np.uint8


def test_amplitude_survives_on_the_fixed_scale_only(signals_mv):
    fixed, stretched = ImageFeatures(), ImageFeatures(scale="autoscale")
    beat = signals_mv[:1, :, :1] * 0.2
    assert not np.array_equal(
        fixed.transform(beat, None)["image"], fixed.transform(beat * 2, None)["image"]
    )
    difference = (
        stretched.transform(beat, None)["image"].astype(int)
        - stretched.transform(beat * 2, None)["image"]
    )
    assert np.abs(difference).max() <= 2


def test_limits_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="must rise; use"):
        ImageFeatures(limits_mv=(1.0, -1.0))


def test_only_the_chosen_rows_are_transformed(signals_mv):
    """A debug run of few beats does not draw a hundred thousand images."""
    beats = replace(make_beats(["a", "a", "b", "b", "c", "c"]), signals_mv=signals_mv)
    whole = transform_checked(SignalFeatures(), beats, alone=False)["signal"]
    few = transform_checked(SignalFeatures(), beats, np.array([4, 1]), alone=False)["signal"]
    assert few.shape == whole.shape
    np.testing.assert_array_equal(few[[1, 4]], whole[[1, 4]])
    assert not few[[0, 2, 3, 5]].any()
