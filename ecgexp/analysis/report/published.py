"""Published scores on the MIT-BIH Arrhythmia Database, drawn apart from those of the runs."""

from dataclasses import dataclass

from ecgexp.data.beats import databases

DATABASE = "mitdb"

_ABUADBBA = (
    "S. Abuadbba, K. Kim, M. Kim, C. Thapa, S. A. Camtepe, Y. Gao, H. Kim, S. Nepal. Can We Use "
    "Split Learning on 1D CNN Models for Privacy Preserving Training? ASIA CCS 2020. "
    "doi:10.1145/3320269.3384740"
)
_GULLU = (
    "M. Güllü, E. Çelik. Comparison of Federated Learning Strategies on ECG Classification. ASYU "
    "2023. doi:10.1109/ASYU58738.2023.10296796"
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published accuracy.

    Attributes:
      label: authors, year and method.
      accuracy: over all beats.
      citation: the publication.
      epsilon: ε as the authors define it; None for a model without noise.
    """

    label: str
    accuracy: float
    citation: str
    epsilon: float | None = None


# Noise on the activations of a split layer: the guarantee is about the values that are sent for one
# beat, not about the trained weights.
SPLIT_LAYER = tuple(
    Published(
        label="Abuadbba 2020, noise on a split layer",
        accuracy=accuracy,
        citation=_ABUADBBA,
        epsilon=epsilon,
    )
    for epsilon, accuracy in ((1, 0.506), (3, 0.738), (5, 0.837), (7, 0.873), (10, 0.892))
)
WITHOUT_NOISE = (
    Published(label="Abuadbba 2020, split, no noise", accuracy=0.984, citation=_ABUADBBA),
    Published(label="Güllü & Çelik 2023, central", accuracy=0.9839, citation=_GULLU),
    Published(label="Güllü & Çelik 2023, FedAvg, IID clients", accuracy=0.9853, citation=_GULLU),
    Published(
        label="Güllü & Çelik 2023, FedAvg, non-IID clients", accuracy=0.8770, citation=_GULLU
    ),
)
CITATIONS = (_ABUADBBA, _GULLU)


def applies_to(names: list[str]) -> bool:
    """Return whether all runs used only the database of the publications, to train and to test."""
    return bool(names) and all(
        [one.split()[:1] for one in databases(name)] == [[DATABASE]] for name in names
    )
