"""The settings of federated training.

Imports neither TensorFlow nor TFF, so that errors in the settings are reported at once.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ecgexp.privacy.plan import Privacy, PrivacyPlan, Unit
from ecgexp.privacy.statement import AdaptiveClip
from ecgexp.settings.declaration import (
    ConfigError,
    Count,
    Fraction,
    NonNegative,
    NonNegativeInt,
    Number,
    Positive,
    Probability,
    Rate,
    settings,
)

Algorithm = Literal["fedavg", "fedsgd", "fedprox", "fedadam", "fedyogi", "fedadagrad", "mime_lite"]
OptimizerKind = Literal["sgd", "adam", "yogi", "adagrad"]
Schedule = Literal["constant", "cosine"]

_SERVER_OPTIMIZERS: dict[str, OptimizerKind] = {
    "fedadam": "adam",
    "fedyogi": "yogi",
    "fedadagrad": "adagrad",
}
_SERVER_RATES: dict[str, float] = {"adam": 0.01, "yogi": 0.01, "adagrad": 0.03, "sgd": 1.0}
_FEDSGD_RATE = 0.1  # for a gradient; the other algorithms apply the sum of many steps


@settings
class FederatedSettings:
    """Rounds of local training on the clients of the partition, averaged by a server.

    Attributes:
      algorithm: `fedavg` (McMahan et al. 2017), `fedsgd`, `fedprox` (Li et al. 2020), `fedadam`,
        `fedyogi`, `fedadagrad` (Reddi et al. 2021), `mime_lite` (Karimireddy et al. 2021).
      num_rounds: number of rounds.
      client_epochs: passes of a client over its beats in one round.
      client_batch_size: rows of a client's batch.
      sampling: the clients of a round: `all`; `fixed`: `clients_per_round` of them, without
        replacement; `poisson`: each independently, with the probability of `clients_per_round`
        divided by the number of clients.
      clients_per_round: see `sampling`; None with `all`.
      client_dropout: probability that a sampled client sends nothing back: simulated failures,
        drawn independently for each client and round; from secret randomness under a privacy
        guarantee.
      min_clients: number of usable updates below which a round ends the run with an error; 0
        accepts empty rounds.
      client_optimizer: of local training; keeps no state between rounds.
      client_learning_rate: learning rate of local training.
      client_momentum: of `sgd`.
      client_schedule: of the clients' learning rate, over the rounds.
      server_optimizer: applies the averaged update; None: the one of the algorithm, which is `sgd`
        for all but `fedadam`, `fedyogi` and `fedadagrad`.
      server_learning_rate: None: 1 for `sgd`, 0.01 for `adam` and `yogi`, 0.03 for `adagrad`, 0.1
        for the algorithm `fedsgd`.
      server_momentum: of `sgd`.
      server_schedule: of the server's learning rate, over the rounds.
      proximal_strength: μ of `fedprox`.
      aggregator: `mean`; `robust`: large updates are replaced by zero or clipped, with adaptive
        bounds; `secure`: the sums of secure aggregation, simulated; `compressed`: 8 bits for each
        number of a large tensor. See `aggregators`.
      clipping: under privacy: `fixed`, at `privacy.l2_norm_clip`; `adaptive` begins there and
        follows a quantile of the updates' norms (Andrew et al. 2021).
      clipping_quantile: the quantile that `adaptive` follows.
      clipping_rate: learning rate of the adaptive clip.
      clipped_count_stddev: standard deviation of the noise on the number of clients within the
        clip, which `adaptive` releases in each round; None: a twentieth of the expected clients in
        a round.
      runtime: `inprocess`: TFF's process is compiled to TensorFlow functions that run in this
        process.

    Raises:
      ConfigError: two settings contradict each other.
    """

    algorithm: Algorithm = "fedavg"
    num_rounds: Count = 20
    client_epochs: Count = 1
    client_batch_size: Count = 50
    sampling: Literal["all", "fixed", "poisson"] = "all"
    clients_per_round: Count | None = None
    client_dropout: Fraction = 0.0
    min_clients: NonNegativeInt = 0
    client_optimizer: OptimizerKind = "sgd"
    client_learning_rate: Rate = 0.02
    client_momentum: Fraction = 0.0
    client_schedule: Schedule = "constant"
    server_optimizer: OptimizerKind | None = None
    server_learning_rate: Rate | None = None
    server_momentum: Fraction = 0.0
    server_schedule: Schedule = "constant"
    proximal_strength: NonNegative = 0.01
    aggregator: Literal["mean", "robust", "secure", "compressed"] = "mean"
    clipping: Literal["fixed", "adaptive"] = "fixed"
    clipping_quantile: Probability = 0.5
    clipping_rate: Annotated[Number, Field(ge=1e-6, le=100)] = 0.2
    clipped_count_stddev: Positive | None = None
    runtime: Literal["inprocess"] = "inprocess"

    step_name: ClassVar[str] = "round"
    privacy_units: ClassVar[frozenset[Unit]] = frozenset({"record", "patient"})
    needs_privacy: ClassVar[bool] = False
    needs_clients: ClassVar[bool] = True
    learning_rate_setting: ClassVar[str] = "client_learning_rate"

    def __post_init__(self):
        if self.sampling == "all" and self.clients_per_round is not None:
            raise ConfigError(
                f"trainer.clients_per_round={self.clients_per_round}: not used with "
                "trainer.sampling=all; use trainer.sampling=fixed, or trainer.sampling=poisson."
            )
        if self.sampling != "all" and self.clients_per_round is None:
            raise ConfigError(
                f"trainer.sampling={self.sampling}: needs the number of clients; use e.g. "
                "trainer.clients_per_round=5."
            )
        if self.algorithm == "fedsgd" and self.client_epochs > 1:
            raise ConfigError(
                f"trainer.client_epochs={self.client_epochs}: trainer.algorithm=fedsgd computes "
                "one gradient over all beats of a client; use trainer.client_epochs=1, or "
                "trainer.algorithm=fedavg."
            )
        named = _SERVER_OPTIMIZERS.get(self.algorithm)
        if named and self.server_optimizer not in (None, named):
            raise ConfigError(
                f"trainer.server_optimizer={self.server_optimizer}: "
                f"trainer.algorithm={self.algorithm} is FedAvg with "
                f"trainer.server_optimizer={named}; use trainer.algorithm=fedavg with another "
                "optimizer."
            )
        if self.client_schedule != "constant" and self.algorithm == "fedsgd":
            raise ConfigError(
                f"trainer.client_schedule={self.client_schedule}: trainer.algorithm=fedsgd has no "
                "client steps; use trainer.client_schedule=constant, or "
                "trainer.server_schedule=cosine."
            )

    @property
    def num_steps(self) -> int:
        """Number of rounds."""
        return self.num_rounds

    @property
    def server_kind(self) -> OptimizerKind:
        """The server's optimizer: its own setting, or that of the algorithm."""
        return self.server_optimizer or _SERVER_OPTIMIZERS.get(self.algorithm, "sgd")

    @property
    def server_rate(self) -> float:
        """The server's learning rate: its own setting, or the default of the optimizer."""
        if self.server_learning_rate is not None:
            return self.server_learning_rate
        return _FEDSGD_RATE if self.algorithm == "fedsgd" else _SERVER_RATES[self.server_kind]

    def adaptive_clip(self, plan: PrivacyPlan) -> AdaptiveClip | None:
        """Return the adaptive clip whose two releases have the privacy loss that `plan` assumes.

        The noise on the updates is slightly larger than `privacy.noise_multiplier`, since the count
        uses part of it.

        Args:
          plan: of the run.

        Returns:
          The clip and its noise; None where the clip is fixed.

        Raises:
          ConfigError: the noise on the count alone would exceed the privacy loss of the plan.
        """
        if self.clipping == "fixed":
            return None
        z = plan.noise_multiplier
        stddev = self.clipped_count_stddev or plan.divisor / 20
        if z and 2 * stddev <= z:
            raise ConfigError(
                "trainer.clipping=adaptive: releasing the number of clients within the clip with "
                f"noise of {stddev:g} has a larger privacy loss than "
                f"privacy.noise_multiplier={z:g} allows; use "
                f"trainer.clipped_count_stddev={math.ceil(10 * z) / 10:g} or more, or "
                "trainer.clipping=fixed."
            )
        return AdaptiveClip(
            quantile=self.clipping_quantile,
            rate=self.clipping_rate,
            count_stddev=stddev if z else 0.0,
            update_noise_multiplier=(z**-2 - (2 * stddev) ** -2) ** -0.5 if z else 0.0,
        )

    def check_privacy(self, privacy: Privacy) -> None:
        """Check, before any data are read, that the settings allow the privacy guarantee.

        Args:
          privacy: the privacy settings of the run.

        Raises:
          ConfigError: a setting would break the privacy guarantee.
        """
        if self.aggregator != "mean":
            raise ConfigError(
                f"trainer.aggregator={self.aggregator}: under privacy, its bounds would depend on "
                "the clients' updates without noise; use trainer.aggregator=mean, which clips to "
                "privacy.l2_norm_clip (with trainer.clipping=adaptive, to a quantile)."
            )
        if self.algorithm in ("fedsgd", "mime_lite"):
            raise ConfigError(
                f"trainer.algorithm={self.algorithm}: not available under privacy, since TFF "
                "weights its clients by their beats or sends a second quantity; use "
                "trainer.algorithm=fedavg."
            )
        if self.client_schedule != "constant":
            raise ConfigError(
                f"trainer.client_schedule={self.client_schedule}: not available under privacy, "
                "since TFF's client schedules weight clients by their beats; use "
                "trainer.client_schedule=constant."
            )
        if self.min_clients:
            raise ConfigError(
                f"trainer.min_clients={self.min_clients}: under privacy, it would end the run when "
                "updates fail, which depends on private data; use trainer.min_clients=0."
            )
        if privacy.sampling == "shuffle":
            raise ConfigError(
                "privacy.sampling=shuffle: it samples batches of beats, not clients; use "
                "privacy.sampling=poisson."
            )
        wanted = "fixed" if self.sampling == "fixed" else "poisson"
        if privacy.sampling != wanted:
            accountant = " privacy.accountant=rdp" if wanted == "fixed" else ""
            raise ConfigError(
                f"trainer.sampling={self.sampling}: not the sampling that "
                f"privacy.sampling={privacy.sampling} accounts for; use "
                f"privacy.sampling={wanted}{accountant}, or trainer.sampling=poisson."
            )
        if self.clipping == "adaptive" and privacy.sampling == "fixed":
            raise ConfigError(
                "trainer.clipping=adaptive: no accountant covers it with trainer.sampling=fixed; "
                "use trainer.sampling=poisson."
            )
