"""The event of two Gaussian sums over one sample, independent of the code that plans them."""

from dp_accounting import DpEvent

from ecgexp.privacy import dp_events


def gaussian_pair(z_sum: float, z_count: float) -> DpEvent:
    """Return the event of two sums over one sample, as a round of adaptive clipping does.

    Their joint privacy loss is that of one sum with noise multiplier
    (z_sum⁻² + z_count⁻²)^(-1/2) (Andrew et al. 2021, arXiv:1905.03871, Theorem 1). For a sampled
    event, use it as `poisson_gaussian(q, gaussian_pair(…).noise_multiplier)`.

    Args:
      z_sum: standard deviation of the noise on the sum, divided by the clip.
      z_count: standard deviation of the noise on the count of unclipped units, divided by the
        sensitivity of the count. One unit changes the count by 1, or by 1/2 if 1/2 is subtracted
        from each unit's bit, as TFF does: then this is *twice* the standard deviation.
    """
    if min(z_sum, z_count) <= 0:
        return dp_events.gaussian(0.0)
    return dp_events.gaussian((z_sum**-2 + z_count**-2) ** -0.5)
