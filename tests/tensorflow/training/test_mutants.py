"""The trainer broken on purpose, in every way that PRIVACY.md lists.

A named probe finds each, and many refuse themselves.
"""

import numpy as np
import probes
import pytest
from linear import train_linear

from ecgexp.privacy.ledger import Ledger, PrivacyViolation


def no_clip(patch):
    patch_clipper(patch, l2_norm_clip=np.inf)


def mean_clip(patch):
    """The gradient of the mean loss is clipped, once."""
    import tensorflow as tf

    from ecgexp.clipping.base import ClippedSum, per_example_losses

    def build(model, loss, *, l2_norm_clip, **_):
        def clipper(features, labels, mask):
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(
                    mask * per_example_losses(loss, labels, model(features, training=True))
                )
            mean = [
                gradient / tf.reduce_sum(mask)
                for gradient in tape.gradient(total, model.trainable_variables)
            ]
            clipped, norm = tf.clip_by_global_norm(mean, l2_norm_clip)
            return clipped_sum(
                [gradient * tf.reduce_sum(mask) for gradient in clipped], norm * mask, ClippedSum
            )

        return clipper

    patch.setattr("ecgexp.training.dp.unit_gradients.build_clipper", build)


def per_layer_clip(patch):
    """Every weight is clipped to the whole clip by itself."""
    import tensorflow as tf

    from ecgexp.clipping.base import ClippedSum, per_example_losses

    def build(model, loss, *, l2_norm_clip, **_):
        def clipper(features, labels, mask):
            with tf.GradientTape() as tape:
                losses = per_example_losses(loss, labels, model(features, training=True))
            sums = []
            for jacobian in tape.jacobian(losses, model.trainable_variables):
                rows = tf.reshape(jacobian, [tf.shape(mask)[0], -1])
                clipped = tf.clip_by_norm(rows, l2_norm_clip, axes=[1])
                sums.append(
                    tf.reshape(tf.reduce_sum(mask[:, None] * clipped, 0), jacobian.shape[1:])
                )
            return clipped_sum(sums, mask, ClippedSum)

        return clipper

    patch.setattr("ecgexp.training.dp.unit_gradients.build_clipper", build)


def copies_as_units(patch):
    """Each view of a beat is clipped by itself, and they add up."""
    from ecgexp.clipping.build import build_clipper

    def build(model, loss, *, views, **settings):
        import tensorflow as tf

        clip = build_clipper(model, loss, views=1, **settings)

        def clipper(features, labels, mask):
            per_copy = clip(features, labels, tf.repeat(mask, views))
            norms = tf.reshape(per_copy.norms, [-1, views])[:, 0]
            return per_copy._replace(norms=norms, losses=tf.zeros_like(norms))

        return clipper

    patch.setattr("ecgexp.training.dp.unit_gradients.build_clipper", build)


def copies_in_the_sampler(patch):
    """Each view of a beat is drawn and recorded as a beat of its own."""
    from ecgexp.training.dp import trainer
    from ecgexp.training.dp.units import Units

    def units_of(data, unit):
        return Units(rows=np.repeat(data.train, 3), starts=np.arange(3 * len(data.train) + 1))

    patch.setattr(trainer, "units_of", units_of)


def padding_counts(patch):
    import tensorflow as tf

    patch_clipper(patch, change_mask=tf.ones_like)


def not_finite_passes(patch):
    """Factors alone, without the test for finite gradients."""
    import tensorflow as tf

    from ecgexp.clipping.base import ClipFactors

    def clip_factors(norms, mask, clip):
        return ClipFactors(mask * tf.minimum(1.0, clip / norms), tf.ones_like(norms, tf.bool))

    patch.setattr("ecgexp.clipping.ghost.clip_factors", clip_factors)


def patients_row_by_row(patch):
    """The sum over a patient's beats instead of their mean, unclipped."""
    patch.setattr(
        "ecgexp.training.dp.unit_gradients.clip_factors", lambda norms, mask, clip: (mask, mask > 0)
    )


def no_noise(patch):
    patch_noise(patch, lambda noise, divisor: 0.0 * noise)


def noise_tenth(patch):
    patch_noise(patch, lambda noise, divisor: noise / 10)


def noise_over_root_batch(patch):
    patch_noise(patch, lambda noise, divisor: noise / divisor**0.5)


def noise_of_the_mean(patch):
    """Scaled as if the sum had been divided already."""
    patch_noise(patch, lambda noise, divisor: noise * divisor)


def noise_with_the_variance_for_std(patch):
    patch_noise(patch, lambda noise, divisor: noise * (probes.NOISE * probes.CLIP))


def noise_without_the_clip(patch):
    patch_noise(patch, lambda noise, divisor: noise / probes.CLIP)


def same_noise_each_step(patch):
    source_repeats_itself(patch)


def divisor_is_the_drawn_number(patch):
    patch_apply(
        patch,
        lambda update, apply, noise, divisor, num_drawn: apply(
            update, noise, max(1.0, float(num_drawn))
        ),
    )


def shuffled_batches(patch):
    from ecgexp.privacy.sampling import Sampler

    patch.setattr(Sampler, "_poisson", Sampler._shuffled)


def batches_of_one_size(patch):
    from ecgexp.privacy.sampling import Sampler

    patch.setattr(Sampler, "_poisson", Sampler._fixed)


def empty_draws_skipped(patch):
    """No update where no unit was drawn.

    The count of steps is faked so that only the noise can tell.
    """

    def unless_empty(update, apply, noise, divisor, num_drawn):
        if num_drawn:
            apply(update, noise, divisor)
        else:
            update._executed.assign_add(1)

    patch_apply(patch, unless_empty)


MUTANTS = [
    (no_clip, probes.each_gradient_is_clipped, "a clipped gradient"),
    (mean_clip, probes.each_gradient_is_clipped, "a clipped gradient"),
    (per_layer_clip, probes.layers_are_clipped_together, "kernel"),
    (copies_as_units, probes.all_views_of_a_beat_are_one_unit, "a beat with four views"),
    (copies_in_the_sampler, probes.all_views_of_a_beat_are_one_unit, "units in the plan"),
    (padding_counts, probes.physical_batches_change_nothing, "physical batches of 64"),
    (
        not_finite_passes,
        probes.what_is_not_finite_contributes_nothing,
        "a row among rows that are not finite",
    ),
    (patients_row_by_row, probes.a_patient_is_one_unit, "coordinate 0"),
    (no_noise, probes.noise_is_as_planned, "standard deviation"),
    (noise_tenth, probes.noise_is_as_planned, "standard deviation"),
    (noise_over_root_batch, probes.noise_is_as_planned, "standard deviation"),
    (noise_of_the_mean, probes.noise_is_as_planned, "standard deviation"),
    (noise_with_the_variance_for_std, probes.noise_is_as_planned, "standard deviation"),
    (noise_without_the_clip, probes.noise_is_as_planned, "standard deviation"),
    (same_noise_each_step, probes.noise_is_fresh_each_step, "correlation between two steps"),
    (divisor_is_the_drawn_number, probes.units_are_drawn_at_the_planned_rate, "no whole number"),
    (shuffled_batches, probes.units_are_drawn_at_the_planned_rate, "their variance"),
    (
        batches_of_one_size,
        probes.units_are_drawn_at_the_planned_rate,
        "every epoch had as many draws",
    ),
    (empty_draws_skipped, probes.an_empty_draw_is_a_noisy_step, "the noise of 50 steps"),
]


@pytest.mark.parametrize(
    ("mutant", "probe", "finding"), MUTANTS, ids=lambda item: getattr(item, "__name__", "")
)
def test_the_probe_finds_the_mutant_by_the_weights_alone(mutant, probe, finding, monkeypatch):
    """The run's own noise checks are switched off here, so that the probe has to notice."""
    monkeypatch.setattr(
        "ecgexp.privacy.noise_checks.NoiseStatistics.check", lambda self, planned_std: None
    )
    mutant(monkeypatch)
    assert finding in (probe() or "nothing")


# What a run refuses by itself, where it happens: in the source of the noise, in its number of
# steps, in its events.


def source_is_silent(patch):
    patch_source(patch, lambda noise: 0 * noise)


def source_is_ten_times_too_quiet(patch):
    patch_source(patch, lambda noise: noise / 10)


def source_is_a_tenth_too_loud(patch):
    patch_source(patch, lambda noise: noise * 1.1)


def source_repeats_itself(patch):
    first = []

    def first_again(noise):
        first.append(noise)
        return first[0]

    patch_source(patch, first_again)


def source_is_broken(patch):
    patch_source(patch, lambda noise: noise * np.nan)


def update_is_skipped(patch):
    from ecgexp.training.dp.private_step import PrivateUpdate

    patch.setattr(PrivateUpdate, "apply", lambda self, noise, divisor: None)


def step_is_not_recorded(patch):
    patch.setattr(Ledger, "record", lambda self, event, count=1: None)


def step_is_recorded_twice(patch):
    record = Ledger.record
    patch.setattr(Ledger, "record", lambda self, event, count=1: record(self, event, 2))


def units_are_clipped_twice(patch):
    from ecgexp.training.dp.unit_gradients import BeatGradients

    accumulate = BeatGradients.accumulate

    def twice(self, drawn, views, rng):
        accumulate(self, drawn, views, rng)
        accumulate(self, drawn, views, rng)

    patch.setattr(BeatGradients, "accumulate", twice)


def epoch_is_left_out(patch):
    from ecgexp.training.dp.trainer import _Epoch, _PrivateRun

    patch.setattr(_PrivateRun, "epoch", lambda self, epoch, on_progress, begun: _Epoch(0, 0, 0))


@pytest.mark.parametrize(
    ("mutant", "message"),
    [
        (source_is_silent, "standard deviation 0 and 1.7 was planned"),
        (source_is_ten_times_too_quiet, "standard deviation 0.1.* and 1.7 was planned"),
        (source_is_a_tenth_too_loud, "standard deviation 1.8.* and 1.7 was planned"),
        (source_is_broken, "standard deviation nan"),
        (source_repeats_itself, "correlated with that of the step before"),
        (update_is_skipped, "0 steps were clipped and noised, but 2 were recorded"),
        (step_is_not_recorded, "2 steps were clipped and noised, but 0 were recorded"),
        (step_is_recorded_twice, "2 steps were clipped and noised, but 4 were recorded"),
        (units_are_clipped_twice, "gradients were clipped where .* units were drawn"),
        (epoch_is_left_out, "0 steps ran where the plan has 2"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_run_that_differs_from_its_record_is_refused(mutant, message, monkeypatch):
    mutant(monkeypatch)
    with pytest.raises(PrivacyViolation, match=message):
        train_linear(np.ones((40, 20_000)), noise=1.7, expected_batch_size=20)


def clipped_sum(gradients, norms, kind):
    import tensorflow as tf

    nothing = tf.constant(0)
    return kind(
        gradients=gradients, norms=norms, losses=norms, num_clipped=nothing, num_nonfinite=nothing
    )


def patch_clipper(patch, *, change_mask=lambda mask: mask, **changed):
    from ecgexp.clipping.build import build_clipper

    def build(model, loss, **settings):
        clip = build_clipper(model, loss, **(settings | changed))
        return lambda features, labels, mask: clip(features, labels, change_mask(mask))

    patch.setattr("ecgexp.training.dp.unit_gradients.build_clipper", build)


def patch_apply(patch, change):
    """`change(update, apply, noise, divisor, num_drawn)` in place of the update."""
    from ecgexp.training.dp.private_step import PrivateUpdate
    from ecgexp.training.dp.unit_gradients import BeatGradients

    accumulate, apply, drawn_units = BeatGradients.accumulate, PrivateUpdate.apply, []

    def remember(self, drawn, views, rng):
        drawn_units.append(len(drawn.lengths))
        accumulate(self, drawn, views, rng)

    patch.setattr(BeatGradients, "accumulate", remember)
    patch.setattr(
        PrivateUpdate,
        "apply",
        lambda self, noise, divisor: change(self, apply, noise, divisor, drawn_units[-1]),
    )


def patch_noise(patch, change):
    """Inside the compiled update, behind the place where the noise is measured."""
    from ecgexp.training.dp.private_step import PrivateUpdate

    update, record = PrivateUpdate._noised_update, PrivateUpdate._record

    def mutated(self, noise, divisor):
        record(self, noise)
        update(self, change(noise, divisor), divisor)

    patch.setattr(PrivateUpdate, "_record", lambda self, noise: None)
    patch.setattr(PrivateUpdate, "_noised_update", mutated)


def patch_source(patch, change):
    from ecgexp.privacy.noise import NoiseSource

    normal = NoiseSource.normal
    patch.setattr(
        NoiseSource,
        "normal",
        lambda self, size, std: np.asarray(change(normal(self, size, std)), np.float32),
    )
