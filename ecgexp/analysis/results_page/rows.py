"""What the page claims: which runs stand behind each line, and the command that makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ResultRow:
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
    def delta(self) -> float | None:
        """The δ that its configuration types; None for the default."""
        found = self._privacy.get("delta")
        return None if found is None else float(found)

    @property
    def is_calibrated(self) -> bool:
        """Whether its noise follows from a target ε, and so from δ."""
        return self._privacy.get("target_epsilon") is not None

    @property
    def _privacy(self) -> Mapping[str, Any]:
        from ecgexp.config.compose import load_config

        return load_config(self.typed).privacy

    @property
    def typed(self) -> list[str]:
        """Its overrides, the experiment first and without the seed."""
        return [f"experiment={self.experiment}", *self.overrides]

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"ECGEXP_DATA=… uv run ecgexp -m {' '.join(self.typed)} seed={','.join(map(str, self.seeds))}"


_THREE, _FIVE = (0, 1, 2), (0, 1, 2, 3, 4)

INTER_PATIENT = (
    ResultRow(
        label="`mitdb_inter_patient_mlp_centralized`",
        experiment="mitdb_inter_patient_mlp_centralized",
        seeds=_FIVE,
    ),
    ResultRow(
        label="… and 201 and 202, who are one man, on one side",
        experiment="mitdb_inter_patient_mlp_centralized",
        overrides=("split.merge_same_patient=true",),
        seeds=_FIVE,
    ),
    ResultRow(
        label="`mitdb_inter_patient_resnet1d_centralized`",
        experiment="mitdb_inter_patient_resnet1d_centralized",
        seeds=_THREE,
    ),
    ResultRow(
        label="`mitdb_inter_patient_resnet1d_in_record_centralized`",
        experiment="mitdb_inter_patient_resnet1d_in_record_centralized",
        seeds=_THREE,
    ),
)


def _noise(label: str, experiment: str, *noise_multipliers: float) -> list[ResultRow]:
    overrides = [(f"privacy.noise_multiplier={noise}",) for noise in noise_multipliers]
    return [
        ResultRow(label=label, experiment=experiment, overrides=typed, seeds=_FIVE)
        for typed in overrides
    ]


PRIVACY = (
    *(
        ResultRow(
            label="a beat, centrally",
            experiment="mitdb_inter_patient_cnn1d_dp_beat",
            overrides=(f"privacy=eps{epsilon}",),
            seeds=_THREE,
        )
        for epsilon in (1, 3, 8)
    ),
    *_noise("a patient, centrally", "mitdb_inter_patient_mlp_dp_patient", 2.0, 1.0),
    *_noise("a patient, federated", "mitdb_inter_patient_mlp_federated_patient", 4.0, 2.0, 1.0),
    ResultRow(
        label="nobody, on the window",
        experiment="mitdb_inter_patient_cnn1d_centralized",
        seeds=_THREE,
    ),
    ResultRow(
        label="nobody, on seven numbers a beat",
        experiment="mitdb_inter_patient_mlp_centralized",
        seeds=_FIVE,
    ),
)
