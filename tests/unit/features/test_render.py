import subprocess
import sys
import time

import matplotlib
import numpy as np
import pytest

from ecgexp.features import render_beats
from ecgexp.settings.declaration import ConfigError, DataError


def beats(benchmark_script, num_beats, seed=0):
    return benchmark_script.synthetic_beats(num_beats, np.random.default_rng(seed))


def difference(benchmark_script, signals_mv, **options):
    plots = np.stack(
        [benchmark_script.reference_image(signal, **options) for signal in signals_mv]
    ).astype(int)
    return np.abs(render_beats(signals_mv, **options).astype(int) - plots)


@pytest.mark.parametrize("scale", ["fixed", "autoscale"])
@pytest.mark.parametrize("window", [60, 180])  # matplotlib simplifies lines from 128 points on
def test_images_equal_the_plot_of_matplotlib(benchmark_script, scale, window):
    signals_mv = beats(benchmark_script, 40)[:, 90 - window // 2 : 90 + window // 2]
    found = difference(benchmark_script, signals_mv, scale=scale)
    assert found.mean() < 0.01
    assert found.max() <= 1


def test_images_of_other_sizes_and_limits_equal_the_plot(benchmark_script):
    assert (
        difference(
            benchmark_script, beats(benchmark_script, 10), size=96, limits_mv=(-0.5, 0.7)
        ).max()
        <= 1
    )


@pytest.mark.real_data
def test_images_of_real_beats_equal_the_plot(benchmark_script, real_root):
    signals_mv = benchmark_script.mitdb_beats(real_root, 60, np.random.default_rng(0))
    for scale in ("fixed", "autoscale"):
        assert difference(benchmark_script, signals_mv, scale=scale).mean() < 0.01


def test_rendering_is_many_times_faster_than_figures(benchmark_script):
    signals_mv = beats(benchmark_script, 2000)
    render_beats(signals_mv[:10])
    start = time.process_time()
    render_beats(signals_mv)
    ours = (time.process_time() - start) / 2000
    start = time.process_time()
    benchmark_script.figure_per_beat(signals_mv[:20], scale="fixed")
    assert (time.process_time() - start) / 20 > 20 * ours  # measured: some 130


def test_amplitude_is_visible_on_the_fixed_scale_only(benchmark_script):
    signal = beats(benchmark_script, 1)[0]
    pair = np.stack([signal, signal / 2])
    small, large = (render_beats(part[None])[0] for part in (pair[1], pair[0]))
    assert not np.array_equal(small, large)
    full, half = render_beats(pair, scale="autoscale")
    assert np.array_equal(full, half)


def test_line_is_black_on_white_and_upright():
    rising = np.linspace(-2, 3, 180, dtype=np.float32)[None]
    image = render_beats(rising)[0]
    assert image.dtype == np.uint8
    assert image.shape == (64, 64)
    assert image.min() < 100
    assert (image[[0, -1]] == 255).all()
    assert (image[:, [0, -1]] == 255).all()
    rows = [
        np.average(np.arange(64), weights=255 - image[:, column].astype(int)) for column in (15, 50)
    ]
    assert rows[0] > rows[1] + 20  # higher millivolts stand nearer to row 0


def test_values_beyond_the_limits_are_clipped():
    beyond = np.full((1, 180), 0.0, np.float32)
    beyond[0, 80:100] = 50.0
    image = render_beats(beyond)[0]
    assert (image[:7] == 255).all()  # the axes end 7.7 pixels below the top
    assert (image[8:12] < 255).any()


def test_flat_beat_with_autoscale_is_a_line_in_the_middle():
    for level in (0.0, 1.7):
        image = render_beats(np.full((1, 180), level, np.float32), scale="autoscale")[0]
        dark = np.flatnonzero((image < 255).any(axis=1))
        assert 29 <= dark.min() <= dark.max() <= 34


def test_image_depends_on_its_beat_alone(benchmark_script):
    signals_mv = beats(benchmark_script, 20)
    together = render_beats(signals_mv)
    assert np.array_equal(together, render_beats(signals_mv))
    assert np.array_equal(together[::-1], render_beats(signals_mv[::-1]))
    assert np.array_equal(together[7:8], render_beats(signals_mv[7:8]))
    assert np.array_equal(together, render_beats(signals_mv.astype(np.float64)))


def test_images_are_independent_of_matplotlib_settings(benchmark_script):
    signals_mv = beats(benchmark_script, 5)
    default = render_beats(signals_mv)
    preferences = {
        "lines.linewidth": 5,
        "path.simplify": False,
        "agg.path.chunksize": 101,
        "figure.dpi": 200,
        "axes.xmargin": 0.3,
    }
    with matplotlib.rc_context(preferences):
        assert np.array_equal(default, render_beats(signals_mv))


def test_no_beats_make_no_images():
    assert render_beats(np.zeros((0, 180), np.float32)).shape == (0, 64, 64)
    assert render_beats(np.zeros((0, 180), np.float32), scale="autoscale").shape == (0, 64, 64)


def test_renderer_does_not_import_matplotlib():
    code = "import ecgexp.features, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_beats_not_finite_are_refused():
    signals_mv = np.zeros((3, 180), np.float32)
    signals_mv[1, 5] = np.nan
    with pytest.raises(DataError, match="NaN or infinite in beat 1"):
        render_beats(signals_mv)


@pytest.mark.parametrize("shape", [(180,), (3, 180, 2), (3, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match=r"needs \(num_beats, window\)"):
        render_beats(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, r"features\.size=4 must be at least 8"),
        ({"scale": "auto"}, r"features\.scale='auto' is not a scale"),
        (
            {"limits_mv": (1.0, -1.0)},
            r"features\.limits_mv=\[1\.0, -1\.0\] must be two finite numbers",
        ),
        ({"limits_mv": (0.0, float("inf"))}, "must be two finite numbers"),
    ],
)
def test_settings_that_make_no_image_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        render_beats(np.zeros((1, 180), np.float32), **options)
