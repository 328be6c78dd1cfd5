"""The settings of federated training; imports neither TensorFlow nor TFF, so that a misspelt one is answered at once."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ecgexp.privacy.plan import PrivacySpec, Unit
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
_FEDSGD_RATE = 0.1  # of a gradient, where the others apply the sum of many steps


@settings
class FederatedSettings:
    """Rounds of local training on the clients of the partition, averaged by a server; see `algorithms`.

    Attributes:
      algorithm: `fedavg` (McMahan et al. 2017), `fedsgd`, `fedprox` (Li et al. 2020), `fedadam`, `fedyogi`, `fedadagrad` (Reddi
        et al. 2021), `mime_lite` (Karimireddy et al. 2021).
      num_rounds: rounds.
      client_epochs: passes of a client over its beats in one round.
      client_batch_size: rows of a client's batch.
      sampling: who takes part in a round: `all`; `fixed`: `clients_per_round` of them, without replacement; `poisson`: each on
        its own with a chance of `clients_per_round` over their number.
      clients_per_round: see `sampling`; None with `all`.
      client_dropout: chance that a client that was chosen does not send anything back: simulated failures, drawn for each client
        and round on its own; from secret randomness under a privacy guarantee.
      min_clients: usable updates below which a round ends the run, with the reason; 0 lets empty rounds pass.
      client_optimizer: of local training, without state between rounds.
      client_learning_rate: its rate.
      client_momentum: of `sgd`.
      client_schedule: over the rounds.
      server_optimizer: of the averaged update; None: what the algorithm's name says, `sgd` otherwise.
      server_learning_rate: None: 1 for `sgd`, 0.01 for `adam` and `yogi`, 0.03 for `adagrad`, 0.1 for the algorithm `fedsgd`.
      server_momentum: of `sgd`.
      server_schedule: over the rounds.
      proximal_strength: μ of `fedprox`.
      aggregator: `mean`; `robust`: large updates are zeroed or clipped, by adaptive bounds; `secure`: the sums of secure
        aggregation, simulated; `compressed`: 8 bits for each number of a large tensor. See `aggregators`.
      clipping: under privacy: `fixed`, at `privacy.l2_norm_clip`; `adaptive` begins there and follows a quantile of the updates'
        norms (Andrew et al. 2021).
      clipping_quantile: the quantile that `adaptive` follows.
      clipping_rate: how fast it does.
      clipped_count_stddev: of the noise on the number of clipped clients; None: a twentieth of the cohort.
      runtime: `inprocess`: TFF's process is compiled to TensorFlow functions, which this process calls.
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

    def __post_init__(self):
        if self.sampling == "all" and self.clients_per_round is not None:
            raise ConfigError(
                f"trainer.clients_per_round={self.clients_per_round} needs a sample: type trainer.sampling=fixed, or poisson"
            )
        if self.sampling != "all" and self.clients_per_round is None:
            raise ConfigError(
                f"trainer.sampling={self.sampling} needs a size: type e.g. trainer.clients_per_round=5"
            )
        if self.algorithm == "fedsgd" and self.client_epochs > 1:
            raise ConfigError(
                f"trainer.algorithm=fedsgd takes one gradient of all of a client's beats, so trainer.client_epochs="
                f"{self.client_epochs} means nothing; type trainer.client_epochs=1, or trainer.algorithm=fedavg"
            )
        named = _SERVER_OPTIMIZERS.get(self.algorithm)
        if named and self.server_optimizer not in (None, named):
            raise ConfigError(
                f"trainer.algorithm={self.algorithm} is FedAvg with trainer.server_optimizer={named}, not "
                f"{self.server_optimizer}; type trainer.algorithm=fedavg to choose another"
            )
        if self.client_schedule != "constant" and self.algorithm == "fedsgd":
            raise ConfigError(
                "trainer.algorithm=fedsgd has no client steps to schedule; type trainer.client_schedule=constant, or "
                "trainer.server_schedule=cosine"
            )

    @property
    def num_steps(self) -> int:
        """Rounds."""
        return self.num_rounds

    @property
    def server_kind(self) -> OptimizerKind:
        """The server's optimizer, by its own setting or the algorithm's name."""
        return self.server_optimizer or _SERVER_OPTIMIZERS.get(self.algorithm, "sgd")

    @property
    def server_rate(self) -> float:
        """The server's learning rate, by its own setting or what suits the optimizer."""
        if self.server_learning_rate is not None:
            return self.server_learning_rate
        return _FEDSGD_RATE if self.algorithm == "fedsgd" else _SERVER_RATES[self.server_kind]

    def check_privacy(self, privacy: PrivacySpec) -> None:
        """Refuses what would break a promise, before any data are read.

        Raises:
          ConfigError: with what to type.
        """
        if self.aggregator != "mean":
            raise ConfigError(
                f"trainer.aggregator={self.aggregator} sets bounds by the clients' updates, without noise; under privacy "
                "type trainer.aggregator=mean, which clips to privacy.l2_norm_clip (trainer.clipping=adaptive follows a quantile)"
            )
        if self.algorithm in ("fedsgd", "mime_lite"):
            raise ConfigError(
                f"trainer.algorithm={self.algorithm} under privacy is not there: TFF weights its clients by their beats, or "
                "sends a second quantity; type trainer.algorithm=fedavg"
            )
        if self.client_schedule != "constant":
            raise ConfigError(
                "TFF's client schedules weight clients by their beats, which privacy must not; type "
                "trainer.client_schedule=constant"
            )
        if self.min_clients:
            raise ConfigError(
                f"trainer.min_clients={self.min_clients} ends the run when updates fail, which depends on private data; type "
                "trainer.min_clients=0"
            )
        if privacy.sampling == "shuffle":
            raise ConfigError(
                "privacy.sampling=shuffle is for batches of beats; type privacy.sampling=poisson"
            )
        wanted = "fixed" if self.sampling == "fixed" else "poisson"
        if privacy.sampling != wanted:
            accountant = " privacy.accountant=rdp" if wanted == "fixed" else ""
            raise ConfigError(
                f"trainer.sampling={self.sampling} is not what privacy.sampling={privacy.sampling} prices; type "
                f"privacy.sampling={wanted}{accountant}, or trainer.sampling=poisson"
            )
        if self.clipping == "adaptive" and privacy.sampling == "fixed":
            raise ConfigError(
                "trainer.clipping=adaptive with cohorts of fixed size has no price; type trainer.sampling=poisson"
            )
