"""What is killed: every trainer, a private sweep, and a sweep whose jobs are in processes of a launcher."""

from collections.abc import Mapping
from dataclasses import dataclass

SECRET = "opensesame-4711"  # noqa: S105 - planted, and looked for in every file afterwards
_SMALL = (
    "model=cnn1d_small", "dataset.num_patients=6", "dataset.minutes=1", "num_resamples=0", "device.deterministic=true",
    "device=cpu", "data.cache_dir=cache", "evaluate_on=[validation]", f"+tracking.tags.api_token={SECRET}",
)  # fmt: skip
_OFTEN = "checkpoints.minutes=0.0001"  # within an epoch too, after every step
_FEDERATED = ("trainer=federated", "trainer.num_rounds=3", "selection.weights=last")
_DP = ("trainer=dp", "trainer.expected_batch_size=50")
_PATIENT = ("privacy=patient", "privacy.noise_multiplier=1.0")
_POISSON = ("trainer.sampling=poisson", "trainer.clients_per_round=3")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of command.

    Attributes:
      words: its overrides.
      has_fresh_noise: noise that nobody can repeat: what was lost counts, and weights differ.
      is_sweep: `-m`; typed again to go on.
      in_processes: its jobs are in processes of a launcher, one of which is killed.
    """

    words: tuple[str, ...]
    has_fresh_noise: bool = False
    is_sweep: bool = False
    in_processes: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    "centralized": Scenario(words=(*_SMALL, "trainer.epochs=3", "augmentation=signal", _OFTEN)),
    "dp": Scenario(
        words=(*_SMALL, *_DP, "trainer.epochs=3", "privacy.noise_multiplier=1.5", "privacy.noise_seed=7", _OFTEN)
    ),
    "dp_fresh_noise": Scenario(
        words=(*_SMALL, *_DP, "trainer.epochs=3", "privacy.noise_multiplier=1.5", _OFTEN), has_fresh_noise=True
    ),
    "federated": Scenario(words=(*_SMALL, *_FEDERATED)),
    "federated_dropout": Scenario(
        words=(*_SMALL, *_FEDERATED, *_POISSON, "trainer.client_dropout=0.3", "trainer.algorithm=fedadam")
    ),
    "dp_federated": Scenario(words=(*_SMALL, *_FEDERATED, *_PATIENT, *_POISSON, "privacy.noise_seed=7")),
    "dp_federated_fresh_noise": Scenario(words=(*_SMALL, *_FEDERATED, *_PATIENT), has_fresh_noise=True),
    "private_sweep": Scenario(
        words=(
            "-m", *_SMALL, *_DP, "trainer.epochs=2", "privacy.noise_multiplier=1.5,3", "privacy.noise_seed=7",
            "hydra.sweep.dir=outputs/invocation",
        ),
        is_sweep=True,
    ),  # fmt: skip
    "processes": Scenario(
        words=(
            "-m", *_SMALL, *_DP, "trainer.epochs=2", "privacy.noise_multiplier=1.5", "privacy.noise_seed=7,8",
            "hydra/launcher=processes", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=outputs/invocation",
        ),
        is_sweep=True, in_processes=True,
    ),  # fmt: skip
}  # fmt: skip
