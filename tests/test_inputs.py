import numpy as np
import pytest

from ecgexp.beats import RR_FEATURES
from ecgexp.inputs import ImageInput, SignalInput, input_shapes


@pytest.fixture
def signals_mv():
    return np.random.default_rng(0).normal(0.3, 2.0, (6, 180, 2)).astype(np.float32)


def test_each_lead_of_each_beat_is_scaled_by_itself(signals_mv):
    signal = SignalInput().transform(signals_mv, None)["signal"]
    np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(signal.std(axis=1), 1, atol=1e-5)


def test_a_beat_does_not_depend_on_the_others(signals_mv):
    together = SignalInput().transform(signals_mv, None)["signal"]
    alone = SignalInput().transform(signals_mv[2:3], None)["signal"]
    np.testing.assert_array_equal(together[2], alone[0])


def test_a_flat_window_is_centred_not_amplified():
    flat = np.full((1, 180, 1), 3.0, np.float32) + np.float32(1e-7)
    assert np.abs(SignalInput().transform(flat, None)["signal"]).max() < 1e-3


def test_millivolts_can_be_left_alone(signals_mv):
    np.testing.assert_array_equal(SignalInput(normalize="none").transform(signals_mv, None)["signal"], signals_mv)


def test_rr_is_a_second_input_and_says_that_it_crosses_beats(signals_mv):
    with_rr = SignalInput(rr=True)
    features = with_rr.transform(signals_mv, np.full((6, 4), 0.8, np.float32))
    assert input_shapes(features) == {"signal": (180, 2), "rr": (4,)}
    assert with_rr.features_crossing_beats == RR_FEATURES
    assert SignalInput().features_crossing_beats == ()
    with pytest.raises(ValueError, match="pass rr="):
        with_rr.transform(signals_mv, None)


def test_pictures_are_bytes_with_one_channel(signals_mv):
    image = ImageInput().transform(signals_mv, None)["image"]
    assert image.shape == (6, 64, 64, 1)
    assert image.dtype == np.uint8


def test_amplitude_survives_on_the_fixed_scale_only(signals_mv):
    fixed, stretched = ImageInput(), ImageInput(scale="autoscale")
    beat = signals_mv[:1, :, :1] * 0.2
    assert not np.array_equal(fixed.transform(beat, None)["image"], fixed.transform(beat * 2, None)["image"])
    difference = stretched.transform(beat, None)["image"].astype(int) - stretched.transform(beat * 2, None)["image"]
    assert np.abs(difference).max() <= 2


def test_limits_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="must rise; try"):
        ImageInput(limits_mv=(1.0, -1.0))
