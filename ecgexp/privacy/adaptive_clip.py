"""Adaptive clipping (Andrew et al. 2021): the numbers of its two noisy releases in each round."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AdaptiveClip:
    """A clip that follows a quantile of the norms, and the noise of both releases of a round.

    Each round releases the sum of the clipped updates (noise multiplier z_u) and the sum of ±1/2
    for each client, +1/2 where the update is within the clip (noise σ_b). Together they are one
    Gaussian mechanism with noise multiplier (z_u⁻² + (2 σ_b)⁻²)^(-1/2), Theorem 1 of Andrew et al.
    2021.

    Attributes:
      quantile: of the updates' norms that the clip follows.
      rate: learning rate of the clip.
      count_stddev: σ_b, standard deviation of the noise on the count.
      update_noise_multiplier: z_u, of the noise on the sum, relative to the clip of the round.
    """

    quantile: float
    rate: float
    count_stddev: float
    update_noise_multiplier: float

    def text(self, first_clip: float, noise_multiplier: float) -> str:
        """Return the sentences of the privacy statement.

        Args:
          first_clip: clip of the first round.
          noise_multiplier: of the one mechanism that is accounted for.
        """
        return (
            f"The clip was adaptive (Andrew et al. 2021): it began at {first_clip:g} and followed "
            f"the {self.quantile:g}-quantile of the norms of the contributions. Each step made two "
            "noisy releases: the sum, with noise of standard deviation "
            f"{self.update_noise_multiplier:.6g} times the clip of that step, and the number of "
            "contributions within the clip (each counts as +1/2 or -1/2), with noise of standard "
            f"deviation {self.count_stddev:.6g}. Together they have the privacy loss of one "
            f"Gaussian mechanism with noise multiplier {noise_multiplier:g}, from which ε is "
            "computed."
        )
