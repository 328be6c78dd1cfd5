"""What the page claims: which runs stand behind each line, and the command that makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of a table.

    Attributes:
      label: what the line is about.
      experiment: the MLflow experiment of its runs.
      overrides: what is typed after `ecgexp -m experiment=NAME`.
      params: what tells its runs from others of the experiment: dotted name -> value, as text.
      group: lines of one group are joined in the figure.
    """

    label: str
    experiment: str
    overrides: str
    params: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    @property
    def command(self) -> str:
        """What makes its runs."""
        return f"ECGEXP_DATA=… uv run ecgexp -m experiment={self.experiment} {self.overrides}".strip()


_FIVE, _THREE, _TWO = "seed=0,1,2,3,4", "seed=0,1,2", "seed=0,1"

_AS_PUBLISHED = {"split.merge_same_patient": "False", "split._target_": "ecgexp.data.splits.InterPatient"}
_MERGED = _AS_PUBLISHED | {"split.merge_same_patient": "True"}

INTER_PATIENT = (
    Claim(label="`mitdb_inter_aami`", experiment="mitdb_inter_aami", overrides=_FIVE, params=_AS_PUBLISHED),
    Claim(label="`mitdb_inter_in_record`", experiment="mitdb_inter_in_record", overrides=_TWO, params=_AS_PUBLISHED),
    Claim(
        label="`mitdb_inter_aami`, 202 moved to DS1, where 201, the same man, is", experiment="mitdb_inter_aami",
        overrides=f"split.merge_same_patient=true {_FIVE}", params=_MERGED,
    ),
)  # fmt: skip

BEAT, PATIENT, FEDERATED, NONE = "a beat, centrally", "a patient, centrally", "a patient, federated", "nobody"

PRIVACY = (
    *(
        Claim(
            label=BEAT, experiment="mitdb_inter_dp", overrides=f"privacy=eps{epsilon} {_THREE}", group=BEAT,
            params={"privacy.target_epsilon": f"{epsilon}.0"},
        )
        for epsilon in (1, 3, 8)
    ),
    *(
        Claim(
            label=PATIENT, group=PATIENT, experiment="mitdb_inter_patient_dp",
            overrides=f"privacy.noise_multiplier={noise} {_TWO}",
            params={"privacy.noise_multiplier": str(noise)},
        )
        for noise in (2.0, 1.0, 0.5)
    ),
    *(
        Claim(
            label=FEDERATED, group=FEDERATED, experiment="mitdb_inter_fedavg_dp",
            overrides=f"privacy.noise_multiplier={noise} {_TWO}",
            params={"privacy.noise_multiplier": str(noise)},
        )
        for noise in (2.0, 1.0, 0.5)
    ),
    Claim(label=NONE, experiment="mitdb_inter_cnn1d", overrides=_THREE, group=NONE),
)  # fmt: skip
