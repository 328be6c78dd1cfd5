"""What the page claims: which runs stand behind each line, and the command that makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of a table.

    Attributes:
      label: what the line is about; in the figure, lines of one label are joined.
      experiment: of `conf/experiment/`.
      overrides: what is typed after it.
      seeds: one run each.
    """

    label: str
    experiment: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...]

    @property
    def typed(self) -> list[str]:
        """Its overrides, the experiment first and without the seed."""
        return [f"experiment={self.experiment}", *self.overrides]

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"ECGEXP_DATA=… uv run ecgexp -m {' '.join(self.typed)} seed={','.join(map(str, self.seeds))}"


_TWO, _THREE = (0, 1), (0, 1, 2)

INTER_PATIENT = (
    Claim(label="`mitdb_inter_aami`", experiment="mitdb_inter_aami", seeds=_THREE),
    Claim(label="`mitdb_inter_in_record`", experiment="mitdb_inter_in_record", seeds=_THREE),
)


def _noise(label: str, experiment: str) -> list[Claim]:
    overrides = [(f"privacy.noise_multiplier={noise}",) for noise in (1.0, 0.5)]
    return [Claim(label=label, experiment=experiment, overrides=typed, seeds=_TWO) for typed in overrides]


PRIVACY = (
    *(
        Claim(
            label="a beat, centrally", experiment="mitdb_inter_dp", overrides=(f"privacy=eps{epsilon}",), seeds=_THREE
        )
        for epsilon in (1, 3, 8)
    ),
    *_noise("a patient, centrally", "mitdb_inter_patient_dp"),
    *_noise("a patient, federated", "mitdb_inter_fedavg_dp"),
    Claim(label="nobody", experiment="mitdb_inter_cnn1d", seeds=_THREE),
)
