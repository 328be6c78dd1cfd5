"""Commands that are killed: all trainers, a private sweep, a sweep with a launcher's processes."""

from collections.abc import Mapping
from dataclasses import dataclass

SECRET = "opensesame-4711"  # noqa: S105 - planted, and searched in all files
_SMALL = (
    "model=cnn1d_small",
    "dataset.num_patients=6",
    "dataset.minutes=1",
    "num_resamples=0",
    "device.deterministic=true",
    "device=cpu",
    "data.cache_dir=cache",
    "evaluate_on=[validation]",
    f"+tracking.tags.api_token={SECRET}",
)
_OFTEN = "checkpoints.minutes=0.0001"  # after every step
_FEDERATED = ("trainer=federated", "trainer.num_rounds=3", "selection.weights=last")
_DP = ("trainer=dp", "trainer.expected_batch_size=50")
_PATIENT = ("privacy=patient", "privacy.noise_multiplier=1.0")
_POISSON = ("trainer.sampling=poisson", "trainer.clients_per_round=3")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of command.

    Attributes:
      words: overrides of the command.
      has_fresh_noise: whether the noise is not seeded: weights differ, and discarded steps count.
      is_sweep: whether it is a multirun (`-m`), which the same command resumes.
      in_processes: whether jobs run in processes of a launcher, one of which is killed.
    """

    words: tuple[str, ...]
    has_fresh_noise: bool = False
    is_sweep: bool = False
    in_processes: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    "centralized": Scenario(words=(*_SMALL, "trainer.epochs=3", "augmentation=signal", _OFTEN)),
    "dp": Scenario(
        words=(
            *_SMALL,
            *_DP,
            "trainer.epochs=3",
            "privacy.noise_multiplier=1.5",
            "privacy.noise_seed=7",
            _OFTEN,
        )
    ),
    "dp_fresh_noise": Scenario(
        words=(*_SMALL, *_DP, "trainer.epochs=3", "privacy.noise_multiplier=1.5", _OFTEN),
        has_fresh_noise=True,
    ),
    "federated": Scenario(words=(*_SMALL, *_FEDERATED)),
    "federated_dropout": Scenario(
        words=(
            *_SMALL,
            *_FEDERATED,
            *_POISSON,
            "trainer.client_dropout=0.3",
            "trainer.algorithm=fedadam",
        )
    ),
    "dp_federated": Scenario(
        words=(*_SMALL, *_FEDERATED, *_PATIENT, *_POISSON, "privacy.noise_seed=7")
    ),
    "dp_federated_fresh_noise": Scenario(
        words=(*_SMALL, *_FEDERATED, *_PATIENT), has_fresh_noise=True
    ),
    "private_sweep": Scenario(
        words=(
            "-m",
            *_SMALL,
            *_DP,
            "trainer.epochs=2",
            "privacy.noise_multiplier=1.5,3",
            "privacy.noise_seed=7",
            "hydra.sweep.dir=outputs/invocation",
        ),
        is_sweep=True,
    ),
    "processes": Scenario(
        words=(
            "-m",
            *_SMALL,
            *_DP,
            "trainer.epochs=2",
            "privacy.noise_multiplier=1.5",
            "privacy.noise_seed=7,8",
            "hydra/launcher=processes",
            "hydra.launcher.n_jobs=2",
            "hydra.sweep.dir=outputs/invocation",
        ),
        is_sweep=True,
        in_processes=True,
    ),
}
