"""Checks of the real training loop; each returns a description of what is wrong, or nothing.

`test_dp_steps.py` applies them to the code, `test_mutants.py` to code with injected defects.
Statistical bounds are at six standard errors or more: a correct run fails one with a probability
below 1e-8.
"""

from collections.abc import Callable, Iterator

import numpy as np
from linear import Training, canaries, linear_data, sgd, train_linear

from ecgexp.augmentation import NoAugmentation
from ecgexp.privacy.settings import PrivacySpec

CLIP, NOISE, UNITS = 2.5, 1.7, 20
Finding = str | None


def _differs(name: str, found, wanted, rtol=1e-5, atol=1e-7) -> Finding:
    close = np.isclose(found, wanted, rtol=rtol, atol=atol)
    return (
        None
        if np.all(close)
        else f"{name}: {np.ravel(found)[~np.ravel(close)][:3]} where {wanted} should be"
    )


def _first(findings: Iterator[Finding]) -> Finding:
    return next((finding for finding in findings if finding is not None), None)


def _off(name: str, found: float, wanted: float, standard_error: float) -> Finding:
    return (
        None
        if abs(found - wanted) <= 6 * standard_error
        else f"{name} is {found:.5g} and should be {wanted:.5g}"
    )


def each_gradient_is_clipped() -> Finding:
    """A canary of norm 10 moves its coordinate by C / B exactly.

    One below the clip by its own norm; nobody's stays.
    """
    rows = canaries(UNITS, UNITS + 5)
    rows[0] *= 0.1
    weights = train_linear(rows, clip=CLIP).weights
    return (
        _differs("a small gradient", weights[0], -1.0 / UNITS)
        or _differs("a clipped gradient", weights[1:UNITS], -CLIP / UNITS)
        or _differs("nobody's coordinates", weights[UNITS:], 0.0)
    )


def layers_are_clipped_together() -> Finding:
    """The gradient (√3 e_i, 1) of kernel and bias has norm 2.

    A clip of 1 halves both, while each alone would be 1.
    """
    weights = train_linear(canaries(4, 4, np.sqrt(3.0)), bias=True).weights
    return _differs("kernel", weights[:4], -np.sqrt(3) / 8) or _differs("bias", weights[4], -0.5)


def noise_is_as_planned() -> Finding:
    """10⁵ coordinates that no unit touches hold N(0, (z C / B)²), within 3 % and with mean zero.

    Canaries are around -C / B.
    """
    weights = train_linear(canaries(UNITS, UNITS + 100_000), noise=NOISE, clip=CLIP).weights
    std = NOISE * CLIP / UNITS
    unused = weights[UNITS:]
    if not abs(unused.std() / std - 1) <= 0.03:
        return f"the noise has standard deviation {unused.std():.5g} and should have {std:.5g}"
    mean = _off("the noise's mean", unused.mean(), 0.0, std / np.sqrt(len(unused)))
    return mean or _off(
        "the canaries' mean", weights[:UNITS].mean(), -CLIP / UNITS, std / np.sqrt(UNITS)
    )


def noise_is_fresh_each_step() -> Finding:
    """Two steps' noise in the same coordinates is uncorrelated, so that its variances add up."""
    run = train_linear(canaries(UNITS, UNITS + 20_000), noise=NOISE, clip=CLIP, epochs=2)
    first, second = run.history[0][UNITS:], (run.history[1] - run.history[0])[UNITS:]
    correlation = np.corrcoef(first, second)[0, 1]
    return _off(
        "the correlation between two steps' noise", correlation, 0.0, 1 / np.sqrt(len(first))
    )


def units_are_drawn_at_the_planned_rate() -> Finding:
    """Each unit's coordinate counts the steps that it entered, times C / B.

    Whole numbers, binomial; epochs differ in size.
    """
    units, batch, epochs = 400, 100, 25
    steps, q = epochs * units // batch, batch / units
    run = train_linear(
        canaries(units, units), noise=1e-3, clip=CLIP, expected_batch_size=batch, epochs=epochs
    )
    counts = np.array(run.history) / (-CLIP / batch)
    final, sizes = (
        counts[-1],
        np.diff(counts.round().sum(axis=1)),
    )  # noise adds up over units: round each first
    if np.abs(final - final.round()).max() > 0.2:
        return (
            f"a unit moved its coordinate by {final[0]:.2f} times C / B, which is no whole number"
        )
    rate = _off(
        "the draws of a unit", final.mean(), steps * q, np.sqrt(steps * q * (1 - q) / units)
    )
    spread = _off(
        "their variance", final.var(), steps * q * (1 - q), steps * q * (1 - q) * np.sqrt(2 / units)
    )
    return (
        rate
        or spread
        or ("every epoch had as many draws as the others" if np.ptp(sizes) == 0 else None)
    )


def an_empty_draw_is_a_noisy_step() -> Finding:
    """One unit at q = 1/50, so that most of 50 steps are empty.

    The noise of all 50 is there, and all are recorded.
    """
    rows = np.vstack([canaries(1, 4000), np.zeros((49, 4000), np.float32)])
    run = train_linear(rows, noise=NOISE, clip=CLIP, expected_batch_size=1)
    unused, std = run.weights[1:], NOISE * CLIP * np.sqrt(50)
    off = _off("the noise of 50 steps", unused.std(), std, std / np.sqrt(2 * len(unused)))
    return off or (
        None if run.ledger.steps == 50 else f"{run.ledger.steps} of 50 steps were recorded"
    )


def what_is_not_finite_contributes_nothing() -> Finding:
    """NaN, infinity and a row whose norm overflows leave the others' sum unchanged, and are
    counted.
    """
    rows = canaries(UNITS, UNITS)
    rows[0, 0], rows[1, 1], rows[2, 2] = np.nan, np.inf, 1e30
    run = train_linear(rows, clip=CLIP)
    wanted = np.where(np.arange(UNITS) < 3, 0.0, -CLIP / UNITS)
    differs = _differs("a row among rows that are not finite", run.weights, wanted)
    return differs or _differs(
        "their number", run.epoch_results[0].train_metrics["nonfinite_gradients"], 3
    )


def physical_batches_change_nothing() -> Finding:
    """Any cut of the logical batch gives the hand-computed step, and padding adds nothing to it."""

    units = 71  # 64 and 7 of them: the second batch is padded

    def cut(size: int) -> Finding:
        weights = train_linear(canaries(units, units), clip=CLIP, physical_batch_size=size).weights
        return _differs(f"physical batches of {size}", weights, -CLIP / units)

    return _first(cut(size) for size in (3, 64, 128))


class TenfoldViews(NoAugmentation):
    """Three views of each beat: itself, tenfold, a hundredfold."""

    name = "tenfold"
    num_views = 3

    def expand(self, labels, class_names):
        return np.repeat(np.arange(len(labels)), 3), np.tile(
            np.arange(3, dtype=np.int32), len(labels)
        )

    def build(self):
        import tensorflow as tf

        return lambda features, views, seed: {
            "signal": features["signal"] * 10.0 ** tf.cast(views, tf.float32)[:, None]
        }


def all_views_of_a_beat_are_one_unit() -> Finding:
    """Four views of a beat move the sum by C together, and the beat is counted, drawn and clipped
    as one.
    """
    run = train_linear(
        canaries(UNITS, UNITS),
        clip=CLIP,
        augmentation_multiplicity=4,
        augmentation=TenfoldViews(),
        physical_batch_size=3,
    )
    tally = run.epoch_results[0].train_metrics
    return (
        _differs("units in the plan", run.ledger.plan.num_units, UNITS)
        or _differs("a beat with four views", run.weights, -CLIP / UNITS)
        or _differs("units in the batch", tally["batch_size"], UNITS)
    )


def a_patient_is_one_unit() -> Finding:
    """The mean over a patient's beats is clipped once, however many there are."""
    rows = [
        [4, 0, 0, 0],
        [2, 8, 0, 0],
        [0, 0, 0.5, 0],
        [0, 0, 0, 100],
        [0, 0, 0, 300],
        [0, 0, 0, -250],
    ]
    data = linear_data(rows, patients=["a", "a", "b", "c", "c", "c"])  # means (3, 4), 0.5 and 50
    privacy = PrivacySpec(noise_multiplier=0, l2_norm_clip=CLIP, unit="patient", delta=1e-3)
    run = Training(data, sgd(expected_batch_size=3, physical_batch_size=2), privacy)
    wanted = -np.array([1.5, 2.0, 0.5, 2.5]) / 3
    return _first(_differs(f"coordinate {i}", run.weights[i], wanted[i]) for i in range(4))


PROBES: tuple[Callable[[], Finding], ...] = (
    each_gradient_is_clipped,
    layers_are_clipped_together,
    noise_is_as_planned,
    noise_is_fresh_each_step,
    units_are_drawn_at_the_planned_rate,
    an_empty_draw_is_a_noisy_step,
    what_is_not_finite_contributes_nothing,
    physical_batches_change_nothing,
    all_views_of_a_beat_are_one_unit,
    a_patient_is_one_unit,
)
