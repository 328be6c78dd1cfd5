"""The switches: one for each protocol error, all off. The module is fast to import."""

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
    """The protocol errors of the replicated implementation. A switch that is off is correct.

    Two errors have no switch, since no number of one run shows them: caches whose key did not
    depend on the configuration, and pickles; and that no random stream was seeded, whose effect is
    the range over `seed=0,1,2`.

    Attributes:
      protocol: the replicated protocol, which decides the switches that may be on;
        `experiment=replication/...` sets it.
      augment_before_split: copies (crops) of a beat became rows, and the rows were split, so that
        copies of one beat are in training and test.
      split_by_beat: beats were split within patients, 15 % for test and 21 % of the rest for
        validation.
      stand_in_lead: lead 0 was used where there is no MLII: V5 in 102 and 104.
      beat_cap: only the first 20 000 beats in the order of the records were used, which contain no
        R beat.
      default_to_normal: a prediction counted as N where no class had a probability above 0.5.
      last_checkpoint: the best checkpoint was saved and never loaded.
      autoscale: every image was scaled to its beat, which loses the amplitude and makes small
        images clearer.
      noise_never_runs: clip and noise of the private optimizer had no effect under Keras' `fit`:
        plain training on shuffled batches.
      batch_norm_under_dp: the network had batch normalization, with which the influence of one beat
        on a gradient has no bound.
      epsilon_of_all_rows: ε was computed, by RDP, from all rows, of which `fit` held out 21 % for
        validation.
      shuffled_as_poisson: batches were shuffled, and ε was computed as if every beat entered each
        batch independently.
      copies_as_beats: a beat had ten images, each counted as a beat in ε. It changes ε only: the
        network of the replication uses the signal, of which there are no copies.
      one_round_less: 19 rounds were trained where the settings had 20.
      shifted_images: the images of each client began one too late, so that every image had the
        label of the beat before.

    Raises:
      ConfigError: a switch is on that the protocol does not have, or two switches contradict each
        other.

    Example:
      >>> ProtocolErrors(protocol="central").augment_before_split
      False
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
        if foreign := [name for name in self.names if name not in _OF[self.protocol]]:
            name = foreign[0]
            other = next(protocol for protocol, names in _OF.items() if name in names)
            raise ConfigError(
                f"protocol_errors.{name}=true: experiment=replication/{self.protocol} had no such "
                f"error; use experiment=replication/{other}, or protocol_errors.{name}=false."
            )
        if self.batch_norm_under_dp and not self.noise_never_runs:
            raise ConfigError(
                "protocol_errors.batch_norm_under_dp=true: cannot be trained by steps that clip "
                "the gradient of each beat; use protocol_errors.batch_norm_under_dp=false, or "
                "protocol_errors.noise_never_runs=true."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The switches that are on, in the order of their declaration."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) is True)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in `result.json`."""
        return {"protocol": self.protocol, "on": list(self.names)}

    def tags(self) -> dict[str, str]:
        """Return the tags of the run; empty if no switch is on."""
        return {"protocol_errors": ", ".join(self.names)} if self.names else {}

    def line(self) -> str:
        """Return the line for the console of a run with errors."""
        return (
            f"protocol errors: {', '.join(self.names)} · this run repeats errors of the replicated "
            "implementation to measure their effect; neither its scores nor its ε are valid "
            "results"
        )

    def read(self, probabilities: "np.ndarray", class_names: Sequence[str]) -> "np.ndarray":
        """Return the probabilities as the replicated implementation read them.

        They are unchanged unless `default_to_normal` is on. Then, for every beat without a
        probability above 0.5, N and the class of the largest probability exchange theirs.

        Args:
          probabilities: (num_beats, classes) of the model.
          class_names: in the order of the columns.

        Returns:
          (num_beats, classes) probabilities.

        Raises:
          ConfigError: there is no class N.
        """
        if not self.default_to_normal:
            return probabilities
        import numpy as np

        if "N" not in class_names:
            raise ConfigError(
                "protocol_errors.default_to_normal=true: needs a class N, but the classes are "
                f"{', '.join(class_names)}; use protocol_errors.default_to_normal=false."
            )
        read, normal = probabilities.copy(), list(class_names).index("N")
        rows = np.flatnonzero(probabilities.max(axis=1) <= 0.5)
        largest = probabilities[rows].argmax(axis=1)
        read[rows, largest] = probabilities[rows, normal]
        # Slightly above a probability that may be equal to it.
        read[rows, normal] = np.nextafter(probabilities[rows, largest], 1)
        return read


def switches(protocol: Protocol) -> tuple[str, ...]:
    """Return the switches of one protocol, in the order of their declaration."""
    return tuple(item.name for item in fields(ProtocolErrors) if item.name in _OF[protocol])
