"""The configurations of each published table."""

from ecgexp.analysis.results_page.tables import ResultRow

_MLP = "mitdb_inter_patient_mlp_centralized"
_DP_BEAT = "mitdb_inter_patient_cnn1d_dp_beat"
_DP_PATIENT = "mitdb_inter_patient_mlp_dp_patient"
_FEDERATED_PATIENT = "mitdb_inter_patient_mlp_federated_patient"
_INTRA_DP = "mitdb_intra_patient_cnn1d_dp_beat"
_INTRA_FEDERATED = "mitdb_intra_patient_cnn1d_federated"
_WITHIN_RECORD = "mitdb_within_record_cnn1d_federated"

INTER_PATIENT = (
    ResultRow(experiment=_MLP),
    ResultRow(
        experiment=_MLP,
        overrides=("split.merge_same_patient=true",),
        label="records 201 and 202, which come from one patient, in the training set",
    ),
    ResultRow(experiment="mitdb_inter_patient_extra_trees_centralized"),
    ResultRow(experiment="mitdb_inter_patient_resnet1d_centralized"),
    ResultRow(experiment="mitdb_inter_patient_resnet1d_in_record_centralized"),
    ResultRow(experiment="mitdb_inter_patient_cnn1d_centralized"),
)
INTRA_PATIENT = (
    ResultRow(experiment="mitdb_intra_patient_cnn1d_centralized"),
    ResultRow(experiment="mitdb_intra_patient_cnn2d_centralized", label="images, one epoch"),
)
FOLDS = tuple(
    ResultRow(
        experiment=_MLP,
        overrides=(
            "dataset.records=ds1",
            *((f"split.fold={fold}",) if fold else ()),
            "split=patient_kfold",
        ),
    )
    for fold in range(5)
)

# Models without a guarantee -> their features, for the legend of the figure.
WITHOUT_PRIVACY = {
    ResultRow(experiment="mitdb_inter_patient_cnn1d_centralized"): "signal",
    ResultRow(experiment=_MLP): "handcrafted features",
}
EXAMPLE_LEVEL = (
    ResultRow(experiment=_DP_BEAT),
    ResultRow(experiment=_DP_BEAT, overrides=("privacy=eps3",)),
    ResultRow(experiment=_DP_BEAT, overrides=("privacy=eps8",)),
)
PATIENT_LEVEL = (
    ResultRow(experiment=_DP_PATIENT, overrides=("privacy.noise_multiplier=2",)),
    ResultRow(experiment=_DP_PATIENT),
    ResultRow(experiment=_FEDERATED_PATIENT, overrides=("privacy.noise_multiplier=4",)),
    ResultRow(experiment=_FEDERATED_PATIENT, overrides=("privacy.noise_multiplier=2",)),
    ResultRow(experiment=_FEDERATED_PATIENT),
)
PRIVACY = (*EXAMPLE_LEVEL, *PATIENT_LEVEL, *WITHOUT_PRIVACY)
PRIVACY_INTRA = (
    ResultRow(experiment=_INTRA_DP),
    *(
        ResultRow(experiment=_INTRA_DP, overrides=(f"privacy=eps{epsilon}", *epochs))
        for epsilon in (3, 8)
        for epochs in ((), ("trainer.epochs=30",))
    ),
    ResultRow(experiment="mitdb_intra_patient_cnn1d_centralized"),
)

_SKEWED = ("trainer.client_batch_size=64", "trainer.client_momentum=0")
_BY_PATIENT = ("partition=by_patient", *_SKEWED)
BASELINES = ResultRow(
    experiment=_WITHIN_RECORD,
    overrides=(
        "federated_baselines.local_only=true",
        "federated_baselines.personalize_epochs=3",
        "federated_baselines.pooled=true",
    ),
)
FEDERATED = (
    ResultRow(experiment=_WITHIN_RECORD, label="10 clients, one record each"),
    ResultRow(experiment=_INTRA_FEDERATED, label="10 clients, `partition=iid`"),
    ResultRow(
        experiment=_INTRA_FEDERATED,
        overrides=("partition.alpha=0.1", "partition=dirichlet", *_SKEWED),
        label="10 clients, `partition=dirichlet partition.alpha=0.1` ¹",
    ),
    ResultRow(
        experiment=_INTRA_FEDERATED,
        overrides=_BY_PATIENT,
        label="47 clients, `partition=by_patient` ¹",
    ),
    ResultRow(
        experiment=_INTRA_FEDERATED,
        overrides=(*_BY_PATIENT, "trainer.algorithm=fedprox", "trainer.proximal_strength=0.1"),
        label="47 clients, `trainer.algorithm=fedprox` ¹",
    ),
    ResultRow(
        experiment=_INTRA_FEDERATED,
        overrides=(*_BY_PATIENT, "trainer.algorithm=fedadam"),
        label="47 clients, `trainer.algorithm=fedadam` ¹",
    ),
    ResultRow(experiment="mitdb_inter_patient_cnn1d_federated", label="DS1 → DS2, 18 clients"),
)
NOISE_SWEEP = "replication/dp_corrected"
NOISE_SWEEP_WITHOUT = ResultRow(experiment="replication/central_corrected")

# The README: each guarantee, and the same kind of model on the same input without one.
_FEATURES = "MLP, handcrafted features, 4 classes"
_WINDOW = "CNN, signal window, 5 classes"
SUMMARY = (
    ResultRow(experiment=_MLP, label=_FEATURES),
    ResultRow(
        experiment=_FEDERATED_PATIENT,
        overrides=("privacy.noise_multiplier=2",),
        label=_FEATURES,
    ),
    ResultRow(experiment="mitdb_inter_patient_cnn1d_centralized", label=_WINDOW),
    ResultRow(experiment=_DP_BEAT, label=_WINDOW),
)
# The first row, with the patient of records 201 and 202 only in the training set.
SUMMARY_MERGED = INTER_PATIENT[1]
