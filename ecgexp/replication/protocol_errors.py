"""The switches: one for each protocol error, all off; cheap to import."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from ecgexp.settings.declaration import ConfigError, settings

if TYPE_CHECKING:
    import numpy as np

Protocol = Literal["central", "dp", "federated"]

_EVERYWHERE = frozenset({"stand_in_lead", "default_to_normal"})
_OF: Mapping[str, frozenset[str]] = {
    "central": _EVERYWHERE
    | {"augment_before_split", "split_by_beat", "beat_cap", "last_checkpoint", "autoscale"},
    "dp": _EVERYWHERE
    | {
        "split_by_beat",
        "last_checkpoint",
        "noise_never_runs",
        "batch_norm_under_dp",
        "epsilon_of_all_rows",
        "shuffled_as_poisson",
        "copies_as_beats",
    },
    "federated": _EVERYWHERE | {"one_round_less", "shifted_images"},
}


@settings
class ProtocolErrors:
    """What the predecessor did, switch by switch. Off is what this project does.

    Two of its faults have no switch, since no number of one run shows them: caches whose key ignored the configuration, and
    pickles; and that nothing was seeded, whose worth is the range over `seed=0,1,2`.

    Attributes:
      protocol: which of its protocols is replayed, and so which faults can be switched on; `experiment=replication/…` sets it.
      augment_before_split: copies (crops) of a beat became rows, and the rows were split: one beat stands in train and test.
      split_by_beat: beats were split within patients, 15 % for the test and 21 % of the rest for validation.
      stand_in_lead: lead 0 was taken where there is no MLII: V5 in 102 and 104.
      beat_cap: only the first 20 000 beats in the order of the records were used, among which is no R beat.
      default_to_normal: a prediction counted as N where no class passed a probability of 0.5.
      last_checkpoint: the best checkpoint was saved and never loaded.
      autoscale: every picture was stretched to its beat, so that amplitude was lost; small pictures are the clearer for it.
      noise_never_runs: the private optimizer's clip and noise stood idle under Keras' `fit`: plain training on shuffled batches.
      batch_norm_under_dp: the network had batch normalisation, under which no beat's part in a gradient is bounded.
      epsilon_of_all_rows: ε was computed, by RDP, from all rows, of which `fit` held 21 % out for validation.
      shuffled_as_poisson: batches were shuffled, and priced as if every beat had entered each on its own.
      copies_as_beats: a beat had ten pictures, each priced as a beat. It changes the price alone: the replay's network sees
        the signal, of which there are no copies.
      one_round_less: 19 rounds were trained where 20 were asked for.
      shifted_images: each client's pictures began one too late, so that every picture stood by the label of the beat before.
    """

    protocol: Protocol
    augment_before_split: bool = False
    split_by_beat: bool = False
    stand_in_lead: bool = False
    beat_cap: bool = False
    default_to_normal: bool = False
    last_checkpoint: bool = False
    autoscale: bool = False
    noise_never_runs: bool = False
    batch_norm_under_dp: bool = False
    epsilon_of_all_rows: bool = False
    shuffled_as_poisson: bool = False
    copies_as_beats: bool = False
    one_round_less: bool = False
    shifted_images: bool = False

    def __post_init__(self):
        if strange := [name for name in self.names if name not in _OF[self.protocol]]:
            name = strange[0]
            there = next(protocol for protocol, names in _OF.items() if name in names)
            raise ConfigError(
                f"protocol_errors.{name}=true: experiment=replication/{self.protocol} had no such error; use "
                f"experiment=replication/{there}, or protocol_errors.{name}=false."
            )
        if self.batch_norm_under_dp and not self.noise_never_runs:
            raise ConfigError(
                "protocol_errors.batch_norm_under_dp=true cannot be trained by steps that clip each beat's gradient; type "
                "protocol_errors.batch_norm_under_dp=false, or protocol_errors.noise_never_runs=true"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The switches that are on, in the order of their declaration."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) is True)

    def as_dict(self) -> dict[str, Any]:
        """For `result.json`."""
        return {"protocol": self.protocol, "on": list(self.names)}

    def tags(self) -> dict[str, str]:
        """For the tracker; nothing where none is on."""
        return {"protocol_errors": ", ".join(self.names)} if self.names else {}

    def line(self) -> str:
        """For the console, of a run with errors."""
        return (
            f"protocol errors: {', '.join(self.names)} · this run repeats the predecessor's faults to measure them; its "
            "scores and its ε are no results"
        )

    def read(self, probabilities: "np.ndarray", class_names: Sequence[str]) -> "np.ndarray":
        """(num_beats, classes) probabilities as they were read: as they are, unless `default_to_normal` is on.

        Then N takes the largest probability of every beat for which none is above 0.5, and gives its own for it.

        Raises:
          ConfigError: there is no class N.
        """
        if not self.default_to_normal:
            return probabilities
        import numpy as np

        if "N" not in class_names:
            raise ConfigError(
                f"protocol_errors.default_to_normal=true needs a class N, and there are {', '.join(class_names)}; type "
                "protocol_errors.default_to_normal=false"
            )
        read, normal = probabilities.copy(), list(class_names).index("N")
        rows = np.flatnonzero(probabilities.max(axis=1) <= 0.5)
        largest = probabilities[rows].argmax(axis=1)
        read[rows, largest] = probabilities[rows, normal]
        read[rows, normal] = np.nextafter(
            probabilities[rows, largest], 1
        )  # above what may be equal to it
        return read


def switches(protocol: Protocol) -> tuple[str, ...]:
    """The faults of one protocol, in the order of their declaration."""
    return tuple(item.name for item in fields(ProtocolErrors) if item.name in _OF[protocol])
