"""The stages of the study: from each protocol with all its errors to the corrected one."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecgexp.replication.protocol_errors import Protocol, switches

AS_IT_WAS = "all protocol errors"
PROTOCOLS: tuple[Protocol, ...] = ("central", "dp", "federated")

# The order in which errors are removed. The effect of one depends on the remaining ones. Errors
# whose removal makes no run longer are first, while there are only 20 000 beats.
# `default_to_normal` comes before all errors that change the probabilities.
_ORDER: dict[Protocol, tuple[tuple[str, ...], ...]] = {
    "central": (
        ("default_to_normal",),
        ("last_checkpoint",),
        ("stand_in_lead",),
        ("augment_before_split",),
        ("beat_cap",),
        ("split_by_beat",),
        ("autoscale",),
    ),
    "dp": (
        ("noise_never_runs", "batch_norm_under_dp"),
        (
            "epsilon_of_all_rows",
            "shuffled_as_poisson",
            "copies_as_beats",
            "default_to_normal",
            "last_checkpoint",
            "stand_in_lead",
            "split_by_beat",
        ),
    ),
    "federated": (("shifted_images",), ("one_round_less", "default_to_normal", "stand_in_lead")),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One configuration of the study.

    Attributes:
      protocol: the replicated protocol.
      corrected: the errors removed at this stage; none at the first.
      off: all errors removed so far.
    """

    protocol: Protocol
    corrected: tuple[str, ...]
    off: tuple[str, ...]

    @property
    def label(self) -> str:
        """The errors that this stage removes, e.g. `− beat_cap`."""
        if not self.corrected:
            return AS_IT_WAS
        if len(self.corrected) > 2:
            return "− the rest"
        return "− " + ", ".join(self.corrected)

    @property
    def left(self) -> tuple[str, ...]:
        """The remaining errors."""
        return tuple(name for name in switches(self.protocol) if name not in self.off)

    @property
    def overrides(self) -> list[str]:
        """The overrides of the configuration."""
        return [
            f"experiment=replication/{self.protocol}",
            *(f"protocol_errors.{name}=false" for name in self.off),
        ]


def stages(protocols: Sequence[Protocol]) -> list[Stage]:
    """Return all stages of these protocols, in order."""
    found = []
    for protocol in protocols:
        off: tuple[str, ...] = ()
        for corrected in ((), *_ORDER[protocol]):
            off += corrected
            found.append(Stage(protocol=protocol, corrected=corrected, off=off))
    return found
