"""What the page claims: which runs stand behind each line, and the command that makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of a table.

    Attributes:
      label: what the line is about.
      experiment: of `conf/experiment/`.
      overrides: what is typed after it.
      seeds: one run each.
      group: lines of one group are joined in the figure.
    """

    label: str
    experiment: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...]
    group: str = ""

    @property
    def typed(self) -> list[str]:
        """Its overrides, the experiment first and without the seed."""
        return [f"experiment={self.experiment}", *self.overrides]

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"ECGEXP_DATA=… uv run ecgexp -m {' '.join(self.typed)} seed={','.join(map(str, self.seeds))}"


_TWO, _THREE = (0, 1), (0, 1, 2)
BEAT, PATIENT, FEDERATED, NOBODY = "a beat, centrally", "a patient, centrally", "a patient, federated", "nobody"

INTER_PATIENT = (
    Claim(label="`mitdb_inter_aami`", experiment="mitdb_inter_aami", seeds=_THREE),
    Claim(label="`mitdb_inter_in_record`", experiment="mitdb_inter_in_record", seeds=_THREE),
)


def _noise(experiment: str, group: str) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            label=group,
            group=group,
            experiment=experiment,
            overrides=(f"privacy.noise_multiplier={noise}",),
            seeds=_TWO,
        )
        for noise in (1.0, 0.5)
    )


PRIVACY = (
    *(
        Claim(label=BEAT, group=BEAT, experiment="mitdb_inter_dp", overrides=(f"privacy=eps{epsilon}",), seeds=_THREE)
        for epsilon in (1, 3, 8)
    ),
    *_noise("mitdb_inter_patient_dp", PATIENT),
    *_noise("mitdb_inter_fedavg_dp", FEDERATED),
    Claim(label=NOBODY, group=NOBODY, experiment="mitdb_inter_cnn1d", seeds=_THREE),
)
