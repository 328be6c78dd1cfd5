"""All outputs of a run in one table: covered by the privacy guarantee, public, or neither.

The statement, `ecgexp-report --public`, the console, the trackers and the documentation use this
table, by the functions of `publication`. In a run with a privacy guarantee, outputs that are
computed from training beats and are not covered are stored in the run's folder `private/` and
nowhere else. The same holds for outputs that are not in the table: a new output is withheld until
it is listed.

The entries `curve/train/*`, `data/*` and `figures/partition.png` were published by earlier
versions. Each is an exact function of the training beats, without noise.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "file",
    "metric",
    "tag",
    "parameter",
    "result key",
    "model content",
    "log line",
    "console line",
    "error",
]
Coverage = Literal["covered", "public", "not covered"]
Source = Literal["settings", "machine", "weights", "training beats", "held-out beats"]

PRIVATE_FOLDER = "private"

TOPICS = {
    "published training data": "everything that was computed from training beats without noise, "
    "such as class counts, training metrics and noise statistics: it was published, because "
    "privacy.publish=all was set",
    "hyperparameters": "the choice of hyperparameters, if the results of other runs on these data "
    "were used for it",
    "validation and test data": "validation and test data: scores, predictions and figures of "
    "these beats are published without noise",
    "selection": "early stopping and the choice of a checkpoint by validation data",
    "class weights": "class weights computed from the training labels",
    "client scores": "scores of single clients on their validation and test beats, which are "
    "computed without noise",
    "split": "which units are in the training set: a random split depends on all units in the "
    "data, so one more unit can move others between training, validation and test; the guarantee "
    "compares training sets that differ in one unit and in nothing else",
    "classes": "the list of classes, which grouping.empty_class=drop reads from the data and which "
    "is assumed to be public",
    "size": "the number of units in the training set, and the largest number of rows that share "
    "samples or an R peak, which are assumed to be public",
    "time and memory": "how long the run took and how much memory it used, which depend "
    "on the realized batch sizes",
}
"""Topics that a guarantee does not cover: short name -> text in the statement, in this order."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One entry of the table.

    Attributes:
      kind: kind of output.
      name: its name; `*` matches any characters. A `result key` joins nested keys with `/`; a
        `log line` has the name of its logger, an `error` that of the module that raises it and
        its class.
      coverage: `covered`: by ε, as are the weights and everything computed from them alone;
        `public`: not a function of the training beats, or assumed to be public; `not covered`:
        neither.
      source: what it is computed from.
      reason: explanation for readers.
      topic: entry of `TOPICS` under which the statement lists it; empty where there is none.
      keys: for a file: its keys are entries of kind `result key` with this prefix; None: the file
        is one entry.

    Raises:
      ValueError: the topic is unknown, or an output that is not covered has no topic.
    """

    kind: Kind
    name: str
    coverage: Coverage
    source: Source
    reason: str
    topic: str = ""
    keys: str | None = None

    def __post_init__(self):
        if self.topic and self.topic not in TOPICS:
            raise ValueError(f"topic={self.topic!r} is not among {list(TOPICS)}")
        if self.coverage == "not covered" and not self.topic:
            raise ValueError(
                f"{self.kind} {self.name} is not covered, and has no topic in the statement"
            )

    @property
    def is_withheld(self) -> bool:
        """Whether a run with a privacy guarantee stores it in `private/` only.

        This holds for outputs computed from training beats that ε does not cover.
        """
        return self.coverage == "not covered" and self.source == "training beats"


def _of(
    kind: Kind, coverage: Coverage, source: Source, reason: str, *names: str, topic: str = ""
) -> list[Output]:
    return [
        Output(kind=kind, name=name, coverage=coverage, source=source, reason=reason, topic=topic)
        for name in names
    ]


def _withheld(kind: Kind, reason: str, *names: str) -> list[Output]:
    return _of(
        kind, "not covered", "training beats", reason, *names, topic="published training data"
    )


def _holdout(
    kind: Kind, reason: str, *names: str, topic: str = "validation and test data"
) -> list[Output]:
    return _of(kind, "not covered", "held-out beats", reason, *names, topic=topic)


OWNER_FOLDERS = (f"{PRIVATE_FOLDER}/*", "checkpoints/*", "ECGEXP_CACHE/*", "STORE.private/*")
_BY_CLIENT = "scores of single clients on their held-out beats"
_SETTING = "a setting as the user wrote it; choose settings without using the training beats"
_KEYED = (
    "a digest of all beats, which reveals nothing without the key in the store's private folder"
)
_KNOWN_PATIENTS = "whether patients are stated, assumed or unknown, which the settings decide"
_MEASURED = "measured on training beats without noise"
_NO_GUARANTEE = "written only by runs that have no privacy guarantee"

TABLE: tuple[Output, ...] = (
    # Files of a run's folder. The first entry with a matching name applies, here and below.
    *_of("file", "not covered", "training beats",
        "outputs that are withheld, for the owner of the data only", OWNER_FOLDERS[0],
        topic="published training data"),
    *_of("file", "not covered", "training beats",
        "the training state, for resume=, readable by its owner only; removed at the end",
        OWNER_FOLDERS[1], topic="published training data"),
    *_of("file", "not covered", "training beats", "outside of the run's folder, and not shared "
        "with it: cached beats, the key of keyed digests, the recorded privacy losses of all "
        "runs, and the log of evaluations on test beats, with their times", *OWNER_FOLDERS[2:],
        topic="published training data"),
    *_of("file", "covered", "weights", "the trained weights", "model/weights.safetensors"),
    *_of("file", "covered", "weights",
        "the same model in MLflow's format, with synthetic beats as an example of its input, its "
        "requirements, and a wheel of this package", "MLmodel",
        "python_model.pkl", "*_model.py", "*_env.yaml", "conda.yaml", "requirements.txt",
        "input_example.json", "serving_input_example.json", "artifacts/*"),
    *_of("file", "public", "settings",
        "architecture and classes; its keys are listed as model content", "model/model.json"),
    *_of("file", "public", "settings", "the preprocessing of records, settings alone",
        "model/preprocessing.json"),
    *_of("file", "public", "settings", "the configuration", "config.yaml", ".hydra/*.yaml"),
    *_of("file", "public", "settings",
        "the privacy plan, the events that were recorded, and this table", "privacy.json",
        "privacy_statement.txt", "privacy_journal.jsonl"),
    *_of("file", "public", "machine",
        "parameters, tags, datasets and names of artifacts, each an entry of its own", "run.json"),
    *_of("file", "public", "machine", "metrics, each an entry of its own; under a guarantee all "
        "have the time at which the run began, since the duration of an epoch reveals how many "
        "beats were drawn; the total time, in result.json, is published and not covered",
        "metrics.jsonl"),
    *_of("file", "public", "machine",
        "parameters, tags, metrics, images and texts for other trackers, each an entry of its own",
        "tensorboard/*", "wandb/*"),
    *_of("file", "public", "machine", "log lines, each an entry of its own", "ecgexp.log"),
    *_of("file", "public", "machine", "an empty file, locked during the run", ".lock"),
    Output(kind="file", name="result.json", coverage="public", source="machine", keys="",
        reason="final metrics and all other result keys"),
    Output(kind="file", name="data.json", coverage="public", source="machine", keys="data/",
        reason="the result keys below data/"),
    *_holdout("file", "what the run will do: held-out beats by class, the model, the steps, the "
        "privacy plan, and an estimate of the memory from the number of units", "plan.json"),
    *_withheld("file", "learning curves, including those of the training beats",
        "figures/learning_curves.*", "tables/learning_curves.csv"),
    *_withheld("file", "number of beats of each class on each client", "figures/partition.*",
        "tables/partition.csv"),
    *_withheld("file", "models trained on the training beats without noise",
        "figures/comparison_*.*", "tables/comparison_*.csv"),
    *_holdout("file", _BY_CLIENT, "figures/*_per_client.*", "tables/*_per_client.csv",
        topic="client scores"),
    *_holdout("file", "learning curves of the validation beats", "figures/validation_curves.*",
        "tables/validation_curves.csv"),
    *_holdout("file", "scores and figures of held-out beats, some of which show the beats",
        *(f"figures/{split}_{what}.*" for split in ("validation", "test") for what in
          ("confusion_matrix", "roc", "precision_recall", "reliability", "worst_mistakes"))),
    *_holdout("file", "scores of held-out beats by class and by record",
        *(f"tables/{split}_{what}" for split in ("validation", "test")
          for what in ("summary.md", "per_record.csv"))),
    *_holdout("file", "scores of held-out beats with and without those in segments without a "
        "usable ECG", "tables/validation_quality.csv", "tables/test_quality.csv"),
    *_holdout("file", "10 seconds of signal around misclassified held-out beats; under a "
        "guarantee, only of patients without training beats",
        "tables/validation_strips.parquet", "tables/test_strips.parquet"),
    *_holdout("file", "record, sample, label and prediction of every held-out beat",
        "predictions/validation.parquet", "predictions/test.parquet"),
    *_of("file", "public", "machine",
        "of a sweep: its jobs with their published metrics, and the privacy loss of all",
        "tables/sweep.csv", "sweep.json", "sweep_privacy.txt", "sweep_privacy.json", "report.html",
        "multirun.yaml", "attempts/*.json", "jobs/*.json"),
    *_holdout("file",
        "of a sweep with a search: the settings that were tried, and their scores",
        "optimization_results.yaml", "search.json", "search.journal"),
    *_of("file", "public", "machine",
        "of a sweep on a cluster: settings and console lines of its jobs", ".submitit/*"),

    *_withheld("file", "of debug=overfit and debug=profile: whether the training beats are fitted; "
        "the time of each operation, which reveals how many units were drawn", "overfit.json",
        "profile/*"),

    # Metrics.
    *_withheld("metric",
        f"loss, accuracy, clipped fraction, gradient norm, realized batch sizes and cohorts, "
        f"noise statistics: {_MEASURED}", "curve/train/*"),
    *_withheld("metric", "models trained on the training beats without noise",
        "federated_baseline/*"),
    *_holdout("metric", _BY_CLIENT, "curve/validation/clients/*", "validation/clients/*",
        "test/clients/*", topic="client scores"),
    *_holdout("metric", "scores of held-out beats, and of the majority-class baseline, whose class "
        "under a guarantee is that of the scored beats and not of the training beats",
        "curve/validation/*", "validation/*", "test/*"),
    *_of("metric", "public", "settings", "follows from the privacy plan and the number of steps",
        "privacy/*"),
    *_of("metric", "not covered", "machine", "measured on the machine", "resources/*",
        topic="time and memory"),
    *_of("metric", "public", "settings", "the jobs of a sweep, and the privacy loss of all",
        "sweep/*"),
    *_of("metric", "public", "settings", _NO_GUARANTEE, "replication/*"),

    # Tags.
    *_of("tag", "public", "machine", "code, versions, machine and process", "git.*", "version.*",
        "plugin.*", "host.*", "process.*", "mlflow.source.*", "mlflow.user"),
    *_of("tag", "public", "settings", "names, and the command line", "mlflow.runName",
        "mlflow.parentRunId", "run.dir", "command", "model", "trainer", "job.digest", "debug",
        "sweep", "sweep.*", "protocol_errors"),
    *_holdout("tag", "the summary of the scores of held-out beats", "mlflow.note.content"),
    *_holdout("tag", "limitations of the scores; those that concern training beats are in private/",
        "notes"),
    *_of("tag", "public", "settings", "the statement", "privacy", "privacy.*"),
    *_of("tag", "public", "settings", "the database", "dataset.name"),
    *_of("tag", "public", "settings", _KNOWN_PATIENTS, "dataset.patients"),
    *_of("tag", "public", "settings", _KEYED, "dataset.digest"),
    *_holdout("tag", "digest of the test beats", "dataset.test_sha256"),
    *_of("tag", "public", "machine", "how the run ended, see the result key `reason`",
        "status.reason"),

    # Parameters: every leaf of the configuration.
    *_of("parameter", "public", "settings", _SETTING, "name", "seed", "resume", "evaluate_on",
        "test", "num_resamples", "experiment",
        *(f"{group}.*" for group in (
            "dataset", "data", "grouping", "split", "features", "augmentation", "model", "loss",
            "trainer", "privacy", "partition", "tracking", "selection", "device",
            "federated_baselines", "checkpoints", "debug", "protocol_errors", "sweep"))),

    # Keys of result.json and data.json.
    *_of("result key", "public", "machine", "how the run ended", "status", "run_id"),
    *_of("result key", "public", "machine", "why it did not finish; an error message that may "
        "quote training beats is in private/error.txt", "reason"),
    *_of("result key", "not covered", "machine", "measured on the machine", "seconds",
        topic="time and memory"),
    *_holdout("result key", "the selected epoch, and its validation score", "selection/*",
        "selection"),
    *_holdout("result key", "how often these test beats were evaluated, digests of the test "
        "records and of the settings, and the accuracy by patient", "test_evaluation/*",
        "test_evaluation"),
    *_withheld("result key",
        "classes without training beats; training beats without a usable ECG; batches, rounds and "
        "clients without an update", "notes/training", "notes/quality", "notes/overlap",
        "notes/federated_baselines", "notes/records"),
    *_holdout("result key",
        "limitations of the scores; those that concern training beats are in private/", "notes/*",
        "notes"),
    *_holdout("result key", "held-out beats without a usable ECG, and the scores with and without "
        "them; under a guarantee, only of records without training beats", "quality/*", "quality",
        "data/quality/marked/validation*", "data/quality/marked/test*"),
    *_of("result key", "public", "settings", _SETTING, "data/quality/choice"),
    *_withheld("result key", "training beats without a usable ECG", "data/quality*"),
    *_holdout("result key", "the classes of held-out beats, over which averages are taken",
        "classes_in_average/*", "classes_in_average"),
    *_of("result key", "public", "settings", "the statement", "privacy/*", "privacy"),
    *_of("result key", "public", "settings", "that the run only tries a configuration",
        "marks/debug"),
    *_of("result key", "public", "settings", _NO_GUARANTEE, "marks", "marks/*"),
    *_of("result key", "public", "settings", "the database", "data/database", "data"),
    *_of("result key", "public", "settings", _KNOWN_PATIENTS, "data/patients_are"),
    Output(kind="result key", name="data/classes", coverage="public", source="training beats",
        topic="classes",
        reason="the list of classes, which also follows from the shape of the model"),
    *_of("result key", "public", "settings", _KEYED, "data/digest"),
    *_holdout("result key", "digest of the test beats", "data/test_sha256"),
    *_holdout("result key", "held-out beats of each class, patients and clients",
        *(f"data/{what}/{split}*" for what in ("beats", "patients", "clients")
          for split in ("validation", "test"))),
    *_holdout("result key", "patients of held-out beats by sex and by decade of age, with "
        "dataset.demographics=true; under a guarantee, only of splits without a training patient",
        "data/demographics/validation*", "data/demographics/test*"),
    *_withheld("result key", "training patients by sex and by decade of age",
        "data/demographics*"),
    *_withheld("result key",
        "training beats of each class, and the number of their patients or clients",
        *(f"data/{what}/train*" for what in ("beats", "patients", "clients"))),
    *_withheld("result key", "beats and records that were dropped, including training beats",
        "data/dropped*", "data/skipped*"),
    *_withheld("result key", "notes on the split: missing classes, patients on both sides",
        "data/notes*"),

    # Content of the saved model other than its weights.
    *_of("model content", "public", "settings", "architecture and preprocessing, and the plug-ins "
        "that they name", "format", "model", "plugins", "database", "preprocessing_sha256"),
    *_of("model content", "covered", "weights",
        "digest of the weights, alone and with the description of the model", "weights_sha256",
        "sha256"),
    Output(kind="model content", name="class_names", coverage="public", source="training beats",
        topic="classes",
        reason="the list of classes, which also follows from the shape of the model"),

    *_withheld("model content", "classes without training beats; null under a guarantee",
        "classes_without_training_beats"),

    # Log lines by logger, console lines by content, errors by module and class; all others are
    # withheld.
    *_of("log line", "public", "machine", "about files, the tracking store and versions",
        "ecgexp.tracking.*", "ecgexp.training.checkpointing.store", "ecgexp.cli.resume",
        "ecgexp.data.preprocessing.cache", "ecgexp.cli.multirun", "mlflow*", "alembic*"),
    *_of("log line", "public", "settings", "about settings", "py.warnings/ecgexp/privacy/*",
        "ecgexp.clipping.build"),
    *_of("console line", "public", "settings",
        "settings, the privacy plan, the statement and the folder of the run", "marks", "resumes",
        "feasibility", "statement"),
    *_holdout("console line", "scores of held-out beats, and their limitations", "summary",
        "notes"),
    *_holdout("console line",
        "the last lines, or the line of console.json=true: folder, MLflow run, time, statement and "
        "headline scores of held-out beats", "end"),
    *_holdout("console line", "held-out beats by class, the number of units and the privacy plan",
        "plan"),
    *_of("console line", "not covered", "machine", "estimated from the first steps", "time",
        topic="time and memory"),
    *_withheld("console line", "models trained on the training beats without noise", "comparison"),
    *_withheld("console line", "of debug=overfit and debug=profile: whether the training beats are "
        "fitted; the time of each operation", "overfit", "profile"),
    *_withheld("console line",
        "progress of the training: loss, accuracy, names of records and clients", "progress"),
    *_of("error", "public", "settings",
        "about settings, the model, the number of units and the privacy plan",
        *(f"ecgexp.privacy.{module}:*" for module in (
            "plan", "plan_checks", "unit_checks", "settings", "accounting", "dp_events",
            "calibration", "ledger", "journal", "sampling", "statement")),
        "ecgexp.experiment.plugin_parts:*",
        *(f"ecgexp.{module}:ConfigError" for module in (
            "experiment.training_loop", "experiment.class_coverage", "experiment.teacher",
            "features.checks",
            "training.device",
            "models.*", "clipping.*", "training.dp.trainer", "training.federated.rounds",
            "training.ledger_checks", "sweeps.running", "tracking.evaluation_log"))),
    *_of("error", "public", "machine", "the memory of the machine, and a smaller batch",
        "ecgexp.experiment.out_of_memory:MachineError"),
    *_of("error", "public", "settings", "the path where the database was expected",
        "ecgexp.data.datasets.recorded:DataError"),
)  # fmt: skip
