"""Everything that a run writes, in one table: what its privacy guarantee covers, what is public, and what is neither.

The statement, `ecgexp-report --public`, the console, the trackers and the README are made from this table. Under a privacy
guarantee whatever comes from training beats and is not covered is kept in the run's folder `private/` and goes nowhere
else. So is whatever the table lacks: an output that nobody thought about is withheld.

References: the entries `curve/train/*`, `data/*` and `figures/partition.png` were published by earlier versions, and each
is an exact function of the training beats, which no noise was added to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

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
    "published training data": "everything that was computed from training beats without noise, such as class counts, training "
    "metrics and noise statistics: it was published, because privacy.publish=all was chosen",
    "hyperparameters": "the choice of hyper-parameters, if other runs on these data were looked at",
    "validation and test data": "validation and test data: scores, predictions and figures of these beats are published "
    "without noise",
    "selection": "early stopping and the choice of a checkpoint by validation data",
    "class weights": "class weights computed from the training labels",
    "client scores": "scores of single clients on their validation and test beats, which are computed without noise",
    "split": "which units are in the training set: a split that is drawn depends on who else is in the data, so one unit more "
    "can move others between training, validation and test; the guarantee compares training sets that differ in one unit and "
    "in nothing else",
    "classes": "the list of classes, which grouping.empty_class=drop reads from the data and which is held to be public",
    "size": "the number of units in the training set, and of rows that share samples or an R peak at most, which are held to be "
    "public",
    "time and memory": "how long the run took and how much memory it used",
}
"""What a statement says that the guarantee leaves out, by its short name, in the order in which it is said."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One entry of the table.

    Attributes:
      kind: what is written.
      name: its name; `*` stands for any characters. A `result key` joins nested keys by `/`; a `log line` is named by its
        logger, an `error` by the module that raises it and its class.
      coverage: `covered`: by ε, as the weights and whatever is computed from them alone; `public`: no function of the
        training beats, or held to be public; `not covered`: neither.
      source: what it is computed from.
      reason: why, in plain words.
      topic: under which entry of `TOPICS` the statement names it; empty where there is nothing to name.
      keys: of a file: its keys are entries of kind `result key` that begin so; None: the file is an entry as a whole.
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
                f"{self.kind} {self.name} is not covered, and no topic says so in the statement"
            )

    @property
    def is_withheld(self) -> bool:
        """Whether a run with a privacy guarantee keeps it in `private/`: it tells of training beats and is not covered."""
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


_METRICS = ("metrics", "undefined")  # keys of result.json
_FOLDERS = (f"{PRIVATE_FOLDER}/*", "checkpoints/*", "ECGEXP_CACHE/*", "STORE.private/*")
_BY_CLIENT = "how single clients are scored on their held-out beats"
_SETTING = "a setting as it was typed; choose settings without looking at the training beats"
_KEYED = "a digest of all beats that says nothing to anybody without the key, which stays in the store's private folder"
_MEASURED = "measured on training beats without noise"
_NO_GUARANTEE = "written only by runs that have no privacy guarantee"

TABLE: tuple[Output, ...] = (
    # Files of a run's folder. The first entry whose name fits decides, here and below.
    *_of("file", "not covered", "training beats", "what is withheld, for the owner of the data alone", _FOLDERS[0],
         topic="published training data"),
    *_of("file", "not covered", "training beats", "the state of training, for resume=, readable by its owner; removed at the end",
         _FOLDERS[1], topic="published training data"),
    *_of("file", "not covered", "training beats", "outside of the run's folder, and not handed on with it: beats kept for the "
         "next run, the key of keyed digests, and what all runs lost", *_FOLDERS[2:], topic="published training data"),
    *_of("file", "covered", "weights", "the trained weights", "model/weights.safetensors"),
    *_of("file", "covered", "weights", "the same model as MLflow keeps it, with shapes and requirements", "MLmodel",
         "python_model.pkl", "*_model.py", "*_env.yaml", "conda.yaml", "requirements.txt", "input_example.json",
         "serving_input_example.json", "artifacts/*"),
    *_of("file", "public", "settings", "architecture and input; its keys are listed as model content", "model/model.json"),
    *_of("file", "public", "settings", "zeros and ones of the shape of a window", "input_example.safetensors"),
    *_of("file", "public", "settings", "the configuration", "config.yaml", ".hydra/*.yaml"),
    *_of("file", "public", "settings", "the privacy plan, the events that were recorded, and this table",
         "privacy.json", "privacy_statement.txt", "privacy_journal.jsonl"),
    *_of("file", "public", "machine", "parameters, tags, datasets and names of artifacts, each an entry of its own", "run.json"),
    *_of("file", "public", "machine", "metrics, each an entry of its own; under a guarantee all bear the time at which the run "
         "began, since the time of an epoch tells how many beats were drawn", "metrics.jsonl"),
    *_of("file", "public", "machine", "log lines, each an entry of its own", "ecgexp.log"),
    *_of("file", "public", "machine", "an empty file, locked while the run is made", ".lock"),
    Output(kind="file", name="result.json", coverage="public", source="machine", keys="",
           reason="final metrics and what else is listed as result keys"),
    Output(kind="file", name="data.json", coverage="public", source="machine", keys="data/",
           reason="the result keys below data/"),
    *_withheld("file", "learning curves with those of the training beats", "figures/learning_curves.png"),
    *_withheld("file", "how many beats of each class each client holds", "figures/partition.png", "tables/partition.csv"),
    *_withheld("file", "models trained on the training beats without noise", "figures/comparison_*.png",
               "tables/comparison_*.csv"),
    *_holdout("file", _BY_CLIENT, "figures/*_per_client.png", "tables/*_per_client.csv", topic="client scores"),
    *_holdout("file", "learning curves of the validation beats", "figures/validation_curves.png"),
    *_holdout("file", "scores and pictures of held-out beats, some of them the beats themselves",
               *(f"figures/{split}_{what}.png" for split in ("validation", "test") for what in
                 ("confusion_matrix", "roc", "precision_recall", "reliability", "worst_mistakes"))),
    *_holdout("file", "scores of held-out beats by class and by record", *(f"tables/{split}_{what}" for split in
               ("validation", "test") for what in ("summary.md", "per_record.csv"))),
    *_holdout("file", "record, sample, label and prediction of every held-out beat", "predictions/validation.parquet",
               "predictions/test.parquet"),
    *_of("file", "public", "machine", "of a sweep: its jobs with their published metrics, and the privacy loss of all",
         "tables/sweep.csv", "sweep.json", "sweep_privacy.txt", "sweep_privacy.json", "report.html", "multirun.yaml",
         "attempts/*.json", "jobs/*.json"),
    *_holdout("file", "of a sweep that searches: the settings that scored best, and their scores", "optimization_results.yaml"),
    *_of("file", "public", "machine", "of a sweep on a cluster: settings and console lines of its jobs", ".submitit/*"),

    # Metrics.
    *_withheld("metric", f"loss, accuracy, clipped fraction, gradient norm, realized batch sizes and cohorts, noise statistics: "
               f"{_MEASURED}", "curve/train/*"),
    *_withheld("metric", "models trained on the training beats without noise", "federated_baseline/*"),
    *_holdout("metric", _BY_CLIENT, "curve/validation/clients/*", "validation/clients/*", "test/clients/*",
               topic="client scores"),
    *_holdout("metric", "scores of held-out beats, and of answering one class, which under a guarantee is the commonest of the "
               "scored beats and not of the training beats", "curve/validation/*", "validation/*", "test/*"),
    *_of("metric", "public", "settings", "follows from the privacy plan and the number of steps", "privacy/*"),
    *_of("metric", "not covered", "machine", "measured on the machine", "resources/*", topic="time and memory"),
    *_of("metric", "public", "settings", "the jobs of a sweep, and the privacy loss of all", "sweep/*"),
    *_of("metric", "public", "settings", _NO_GUARANTEE, "replication/*"),

    # Tags.
    *_of("tag", "public", "machine", "code, versions, machine and process", "git.*", "version.*", "host.*", "process.*",
         "mlflow.source.*", "mlflow.user"),
    *_of("tag", "public", "settings", "names, and what was typed", "mlflow.runName", "mlflow.parentRunId", "run.dir", "command",
         "job.digest", "sweep", "sweep.*", "protocol_errors"),
    *_holdout("tag", "the summary of the scores of held-out beats", "mlflow.note.content"),
    *_holdout("tag", "what the scores do not rest on; what is known of training beats is in private/", "notes"),
    *_of("tag", "public", "settings", "the statement", "privacy", "privacy.*"),
    *_of("tag", "public", "settings", "the database", "dataset.name"),
    *_of("tag", "public", "settings", _KEYED, "dataset.digest"),
    *_holdout("tag", "digest of the test beats", "dataset.test_sha256"),
    *_of("tag", "public", "machine", "how it ended, see the result key `reason`", "status.reason"),

    # Parameters: every leaf of the configuration.
    *_of("parameter", "public", "settings", _SETTING, "name", "seed", "resume", "evaluate_on", "num_resamples", "experiment",
         *(f"{group}.*" for group in (
             "dataset", "data", "grouping", "split", "features", "augmentation", "model", "loss", "trainer", "privacy", "partition",
             "tracking", "selection", "device", "federated_baselines", "checkpoints", "protocol_errors", "sweep"))),

    # Keys of result.json and data.json.
    *_of("result key", "public", "machine", "how the run ended", "status", "run_id"),
    *_of("result key", "public", "machine", "why it did not finish; the message of an error that may quote training beats is in "
         "private/error.txt", "reason"),
    *_of("result key", "not covered", "machine", "measured on the machine", "seconds", topic="time and memory"),
    *_holdout("result key", "which epoch was kept, and its validation score", "selection/*", "selection"),
    *_withheld("result key", "classes without training beats; batches, rounds and clients from which nothing was learned",
               "notes/training", "notes/overlap", "notes/federated_baselines"),
    *_holdout("result key", "what the scores do not rest on; what is known of training beats is in private/", "notes/*",
               "notes"),
    *_holdout("result key", "the classes of held-out beats, over which averages are taken", "classes_in_average/*",
               "classes_in_average"),
    *_of("result key", "public", "settings", "the statement", "privacy/*", "privacy"),
    *_of("result key", "public", "settings", _NO_GUARANTEE, "marks", "marks/*"),
    *_of("result key", "public", "settings", "the database", "data/database", "data"),
    Output(kind="result key", name="data/classes", coverage="public", source="training beats", topic="classes",
           reason="the list of classes, which the shape of the model shows anyway"),
    *_of("result key", "public", "settings", _KEYED, "data/digest"),
    *_holdout("result key", "digest of the test beats", "data/test_sha256"),
    *_holdout("result key", "held-out beats of each class, patients and clients",
               *(f"data/{what}/{split}*" for what in ("beats", "patients", "clients") for split in ("validation", "test"))),
    *_withheld("result key", "training beats of each class, and how many patients or clients hold them",
               *(f"data/{what}/train*" for what in ("beats", "patients", "clients"))),
    *_withheld("result key", "beats and records that were dropped, training beats among them", "data/dropped*"),
    *_withheld("result key", "what is said of the split: classes that it lacks, patients on two sides", "data/notes*"),

    # What the saved model holds beside its weights.
    *_of("model content", "public", "settings", "architecture, input and window", "format", "model", "features", "window",
         "lead_names", "fs_hz", "before_samples", "database"),
    *_of("model content", "covered", "weights", "digest of the weights, alone and with the rest of the description",
         "weights_sha256", "sha256"),
    Output(kind="model content", name="class_names", coverage="public", source="training beats", topic="classes",
           reason="the list of classes, which the shape of the model shows anyway"),

    *_withheld("model content", "classes that no training beat is of; null under a guarantee", "classes_without_training_beats"),

    # Log lines by their logger, console lines by what they tell, errors by who raises them: all others are withheld.
    *_of("log line", "public", "machine", "tells of files, of the tracking store and of versions", "ecgexp.tracking.*",
         "ecgexp.training.checkpointing.store", "ecgexp.cli.resume", "ecgexp.data.preprocessing.cache",
         "ecgexp.cli.multirun", "mlflow*", "alembic*"),
    *_of("log line", "public", "settings", "tells of settings", "py.warnings/ecgexp/privacy/*",
         "ecgexp.clipping.build"),
    *_of("console line", "public", "settings", "settings, the privacy plan, the statement and where the run is", "marks",
         "resumes", "feasibility", "statement", "end"),
    *_holdout("console line", "scores of held-out beats, and what they do not rest on", "summary", "notes"),
    *_withheld("console line", "models trained on the training beats without noise", "comparison"),
    *_withheld("console line", "progress of the training: loss, accuracy, names of records and clients", "progress"),
    *_of("error", "public", "settings", "quotes settings, the model, the number of units and the privacy plan", *(
        f"ecgexp.privacy.{module}:*" for module in ("plan", "accounting", "calibration", "ledger", "journal", "sampling",
                                                 "statement")),
        *(f"ecgexp.{module}:ConfigError" for module in (
            "experiment.training_loop", "experiment.class_coverage", "training.device", "models.*", "clipping.*",
            "training.dp.trainer", "training.federated.rounds", "sweeps.sweep"))),
    *_of("error", "public", "settings", "tells where the database was looked for", "ecgexp.data.datasets.recorded:DataError"),
)  # fmt: skip


def find(kind: Kind, name: str) -> Output | None:
    """The entry of the table that decides about an output; None where the table lacks it.

    Args:
      kind: what is written.
      name: its name, as `Output.name` describes it.
    """
    return next(
        (entry for entry in TABLE if entry.kind == kind and fnmatchcase(name, entry.name)), None
    )


def is_published(kind: Kind, name: str) -> bool:
    """Whether a run with a privacy guarantee publishes that output.

    **Guarantees** False for every output that the table lacks, so that a new one is withheld until somebody lists it;
    `tests/privacy/test_outputs.py` checks it, and that runs write nothing that is not listed.
    """
    entry = find(kind, name)
    return entry is not None and not entry.is_withheld


def divide(values: Mapping[str, Any], *, under: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Nested result keys as those that are published and those that are withheld.

    Args:
      values: of `result.json`, or of a part of it; what is below `metrics` and `undefined` is looked up as metrics.
      under: which part, e.g. `data/`.

    Returns:
      published: the same nesting without what is withheld.
      withheld: the rest.
    """
    published: dict[str, Any] = {}
    withheld: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{under}{key}"
        if not isinstance(value, Mapping) or (not value and name not in _METRICS):
            (published if is_published("result key", name) else withheld)[key] = value
            continue
        one, other = divide_metrics(value) if name in _METRICS else divide(value, under=f"{name}/")
        if one or not other:
            published[key] = one
        if other:
            withheld[key] = other
    return published, withheld


def divide_metrics(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics by name: those that are published and those that are withheld."""
    published = {name: value for name, value in metrics.items() if is_published("metric", name)}
    return published, {name: value for name, value in metrics.items() if name not in published}


def withheld_reasons() -> list[str]:
    """What is kept in `private/`, in plain words, each once."""
    entries = (
        entry
        for entry in TABLE
        if entry.is_withheld and entry.kind in ("file", "metric", "tag", "result key")
    )
    return list(dict.fromkeys(entry.reason for entry in entries if entry.name not in _FOLDERS))


def markdown() -> str:
    """The table for the README: one row for all outputs of one kind, coverage and reason."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for entry in TABLE:
        where = (
            ("owner only" if entry.name in _FOLDERS else "private/")
            if entry.is_withheld
            else "published"
        )
        rows.setdefault((entry.kind, entry.coverage, where, entry.reason), []).append(
            f"`{entry.name}`"
        )
    lines = ["| what | coverage | under a guarantee | why |", "| --- | --- | --- | --- |"]
    for (kind, coverage, where, reason), names in rows.items():
        lines.append(f"| {kind} {', '.join(names)} | {coverage} | {where} | {reason} |")
    return "\n".join(lines) + "\n"
