"""Names that version 0.2.0 changed, for the message that answers an old one.

No old name has an effect: it is refused in one line that gives the new name. The documentation's
table of renamed keys is written from here.
"""

VERSION = "0.2.0"

KEYS = {
    "input": "features",
    "flaws": "protocol_errors",
    "comparisons": "federated_baselines",
    "selection.keep": "selection.weights",
    "privacy.population": "privacy.hypothetical_population",
}
"""Configuration key, of a group or of a value -> its new name; keys below it follow."""

OPTIONS = {
    "split=reduced": "split=inter_patient_two_lead",
    "split=federated10": "split=within_record",
    "dataset.records=unpaced": "dataset.records=without_pacemaker",
    "input=descriptors": "features=handcrafted",
    "augmentation=parity": "augmentation=replication",
    "experiment=parity/central": "experiment=replication/central",
    "experiment=parity/dp": "experiment=replication/dp",
    "experiment=parity/federated": "experiment=replication/federated",
    "experiment=mitdb_inter_descriptors": "experiment=mitdb_inter_patient_mlp_centralized",
    "experiment=mitdb_parity_central": "experiment=replication/central_corrected",
    "experiment=mitdb_parity_dp": "experiment=replication/dp_corrected",
    "experiment=mitdb_to_svdb": "experiment=mitdb_to_svdb_resnet1d_centralized",
    "experiment=mitdb_inter_aami": "experiment=mitdb_inter_patient_resnet1d_centralized",
    "experiment=mitdb_inter_in_record": (
        "experiment=mitdb_inter_patient_resnet1d_in_record_centralized"
    ),
    "experiment=mitdb_inter_cnn1d": "experiment=mitdb_inter_patient_cnn1d_centralized",
    "experiment=mitdb_intra_cnn1d": "experiment=mitdb_intra_patient_cnn1d_centralized",
    "experiment=mitdb_intra_cnn2d_image": "experiment=mitdb_intra_patient_cnn2d_centralized",
    "experiment=mitdb_inter_dp": "experiment=mitdb_inter_patient_cnn1d_dp_beat",
    "experiment=mitdb_intra_dp": "experiment=mitdb_intra_patient_cnn1d_dp_beat",
    "experiment=mitdb_inter_patient_dp": "experiment=mitdb_inter_patient_mlp_dp_patient",
    "experiment=mitdb_inter_federated": "experiment=mitdb_inter_patient_cnn1d_federated",
    "experiment=mitdb_intra_federated": "experiment=mitdb_intra_patient_cnn1d_federated",
    "experiment=mitdb_inter_fedavg_dp": "experiment=mitdb_inter_patient_mlp_federated_patient",
    "experiment=mitdb_federated10": "experiment=mitdb_within_record_cnn1d_federated",
}
"""`group=option` or `key=value` -> what has the same effect now."""


def renamed_key(key: str) -> str | None:
    """Return the new name of a dotted configuration key; None if version 0.2.0 did not rename it.

    Example:
      >>> renamed_key("comparisons.pooled")
      'federated_baselines.pooled'
    """
    for old, new in KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None


def renamed(what: str, new: str) -> str:
    """Return the message for an old name."""
    return f"{what} was renamed in version {VERSION}; use {new}"
