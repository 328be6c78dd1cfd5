"""An experiment, and the one loop that runs it: whatever trains, this is how it is evaluated, tracked and ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ecgexp.console import Watcher
from ecgexp.data.partition.natural import Pooled
from ecgexp.data.populations import people_of
from ecgexp.data.splits import Federated10, IntraPatient, check_databases
from ecgexp.evaluation.missing import evaluation_notes
from ecgexp.evaluation.names import metric_names
from ecgexp.experiment import artifacts, class_coverage, clients
from ecgexp.experiment.data import Prepared, prepare
from ecgexp.experiment.federated_baselines import Comparisons, compare
from ecgexp.experiment.training_loop import Learner
from ecgexp.privacy.keyed_digests import DigestKey
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacySpec
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.search_accounting import Charge
from ecgexp.privacy.statement import check_unit_covers_features, check_units_apart, shared_units
from ecgexp.seeding import Seeds
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError, Seed, Whole, check_named_once, settings
from ecgexp.settings.redaction import redact
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.local.lock import hold
from ecgexp.tracking.local.result import Result, known_run_id
from ecgexp.tracking.params import parameters
from ecgexp.tracking.resources import PeakMemory
from ecgexp.tracking.withheld import FOLDER as PRIVATE
from ecgexp.tracking.withheld import Publishing, publishing_of
from ecgexp.training.checkpointing.manager import CheckpointRule, Keeper, begin_journal, check_journal
from ecgexp.training.device import Device
from ecgexp.training.model_selection import Chosen, Selection

Admission = Callable[[Ledger, str], None]


@dataclass(frozen=True, kw_only=True)
class FurtherResults:
    """What an experiment adds to the results of a run.

    Attributes:
      metrics: final metrics.
      marks: what is added to `Experiment.marks` in `result.json`.
      lines: for the console.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


@settings
class Experiment:
    """Everything a run is made of; each part is a settings object, usually built from YAML by `ecgexp.config.compose`.

    Attributes:
      seed: of every random stream but privacy noise.
      dataset: the beats (`ecgexp.data`).
      grouping: symbols -> classes.
      split: who is trained on and who is tested.
      input: what the model sees of a beat.
      augmentation: random copies of training beats.
      model: the architecture.
      loss: per example.
      trainer: centralized, under privacy, or federated.
      privacy: the promise, or none.
      partition: which client holds which beats.
      tracking: where the run is kept.
      selection: which epoch is kept.
      device: where to compute.
      evaluate_on: splits that are scored at the end; while a model is being chosen, leave `test` out.
      num_resamples: of the bootstrap behind each 95 % interval; 0 for none.
      comparisons: what a federated model is held against; by default nothing.
      checkpoints: how often the state of training is written down.
    """

    seed: Seed
    dataset: Any
    grouping: Any
    split: Any
    input: Any
    augmentation: Any
    model: Any
    loss: Any
    trainer: Any
    privacy: Any
    partition: Any
    tracking: Any
    selection: Selection
    device: Device
    evaluate_on: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    num_resamples: Annotated[Whole, Field(ge=0, le=100_000)] = 1000
    comparisons: Comparisons = Comparisons()
    checkpoints: CheckpointRule = CheckpointRule()

    def __post_init__(self):
        check_named_once("evaluate_on", self.evaluate_on)
        self._check_classes()
        check_databases(self.dataset, self.split)
        self._check_inputs()
        self._check_privacy()
        self._check_clients()
        self.comparisons.check(
            self.trainer, is_pooled=isinstance(self.partition, Pooled), is_private=self.is_private,
            judges_test="test" in self.evaluate_on,
        )  # fmt: skip

    def _check_classes(self) -> None:
        """Every class has metrics of its own."""
        try:
            metric_names(list(self.grouping.classes))
        except ValueError as error:
            raise ConfigError(f"grouping.classes={_listed(frozenset(self.grouping.classes))}: {error}") from error

    def _check_inputs(self) -> None:
        """What the input makes is what the model takes and the augmentation changes."""
        made, model, changed = self.input.names(), self.model, self.augmentation.features
        makes = f"{_kind(self.input)} makes {_listed(made)}"
        if missing := model.required_inputs - made:
            raise ConfigError(
                f"{_kind(model)} takes {_listed(model.required_inputs)} and {makes}; type input={min(missing)}"
            )
        if surplus := made - model.required_inputs - model.optional_inputs:
            raise ConfigError(f"{makes}, and {_kind(model)} does not take {_listed(surplus)}; choose another input")
        if missing := changed - made:
            raise ConfigError(
                f"augmentation={self.augmentation.name} changes {_listed(changed)} and {makes}; "
                f"type augmentation=none or input={min(missing)}"
            )

    def _check_privacy(self) -> None:
        """A promise is made exactly where it is kept, and nothing in the run would break it."""
        if not self.is_private:
            if self.trainer.needs_privacy:
                raise ConfigError(
                    f"{_kind(self.trainer)} needs a promise to keep and privacy=none makes none; "
                    "type privacy=dp privacy.noise_multiplier=1.1, or trainer=centralized"
                )
            return
        units = self.trainer.privacy_units
        if not units:
            raise ConfigError(
                f"privacy was asked for, and {_kind(self.trainer)} gives none; type trainer=dp, or privacy=none"
            )
        if self.privacy.unit not in units:
            raise ConfigError(
                f"privacy.unit={self.privacy.unit}: {_kind(self.trainer)} can promise to a {' or a '.join(sorted(units))}; type "
                "privacy.unit=patient, or privacy=patient, whose clip suits it"
            )
        self.trainer.check_privacy(self.privacy)
        check_unit_covers_features(self.privacy.unit, self.input.features_crossing_beats)
        if self.has_guarantee and self.privacy.unit != "beat" and isinstance(self.split, IntraPatient | Federated10):
            raise ConfigError(shared_units(self.privacy.unit, "validation or test beats"))
        if self.device.mixed_precision:
            raise ConfigError(
                "device.mixed_precision=true skips the steps in which float16 overflows, which depends on the data: "
                "under privacy type device.mixed_precision=false"
            )
        if getattr(self.model, "normalization", "none") == "batch":
            raise ConfigError(
                "model.normalization=batch mixes the beats of a batch, so that no beat's part in a gradient is bounded; "
                "under privacy type model.normalization=group"
            )

    def _check_clients(self) -> None:
        """Clients are dealt exactly where they are trained."""
        pooled = isinstance(self.partition, Pooled)
        if self.trainer.needs_clients and pooled:
            raise ConfigError(
                f"{_kind(self.trainer)} trains clients and partition=none deals all beats to one; type partition=by_patient"
            )
        if not self.trainer.needs_clients and not pooled:
            raise ConfigError(
                f"{_kind(self.trainer)} trains on pooled beats and {_kind(self.partition)} deals them to clients; type "
                "partition=none, or trainer=federated"
            )

    def prepare(self, seeds: Seeds, report: Callable[..., None]) -> Prepared:
        """Its beats, split, dealt and transformed; see `ecgexp.experiment.data.prepare`."""
        prepared = prepare(
            dataset=self.dataset, grouping=self.grouping, split=self.split, partition=self.partition, model_input=self.input,
            seeds=seeds, report=report,
        )  # fmt: skip
        if self.has_guarantee:
            held_out = {name: rows for name, rows in prepared.indices.items() if name != "train"}
            check_units_apart(self.privacy.unit, prepared.beats.patient_ids, prepared.split.train, held_out)
        return replace(prepared, withholds_training=self.withholds)

    @property
    def is_private(self) -> bool:
        """Whether a promise of privacy was asked for."""
        return isinstance(self.privacy, PrivacySpec)

    @property
    def makes_promise(self) -> bool:
        """Whether the run states what its promise of privacy costs; a subclass that breaks it on purpose says no."""
        return self.is_private

    @property
    def has_guarantee(self) -> bool:
        """Whether the run may state an ε as a privacy guarantee."""
        return self.makes_promise and self.privacy.may_have_guarantee

    @property
    def withholds(self) -> bool:
        """Whether what tells of training beats and is not covered stays in the run's folder `private/`."""
        return self.has_guarantee and self.privacy.publish != "all"

    @property
    def title(self) -> str:
        """A few words that tell the run from others: `cnn1d centralized seed 0`."""
        return f"{_kind(self.model).lower()} {_kind(self.trainer).lower()} seed {self.seed}"

    def resolved(self) -> "Experiment":
        """The experiment that runs: this one, unless a subclass replaces parts of it. Doing it twice changes nothing more."""
        return self

    def read_probabilities(self, probabilities: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
        """(num_beats, classes) probabilities as they are scored: as the model gives them."""
        return probabilities

    def marks(self) -> Mapping[str, Any]:
        """What `result.json` says of the experiment itself, also where it fails: key -> JSON-able value; here nothing."""
        return {}

    def notices(self) -> Sequence[str]:
        """Lines for the console, before anything is read; here none."""
        return ()

    def tags(self) -> Mapping[str, str]:
        """Tags of the run that come from the experiment; here none."""
        return {}

    def further_results(self, prepared: Prepared) -> FurtherResults:
        """What a finished run has beside its scores; here nothing."""
        return FurtherResults()


def run(
    experiment: Experiment,
    run_dir: Path,
    *,
    config: Mapping[str, Any] | None = None,
    resolved_yaml: str | None = None,
    watcher: Watcher | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    admit: Admission | None = None,
    resume: bool = False,
) -> Result:
    """Prepares, trains, evaluates and tracks one experiment.

    Args:
      experiment: what to do.
      run_dir: an existing folder; receives `result.json`, `metrics.jsonl`, the figures and the model.
      config: the composed configuration, logged leaf by leaf; by default the experiment itself.
      resolved_yaml: the same as text, kept as an artifact.
      watcher: shows progress.
      name: the run's name in the UI; by default the experiment's title.
      tags: further tags of the run.
      resume: whether `run_dir` holds a run of this experiment that did not finish; it goes on, in the same MLflow run.
      admit: asked once, before the first training step, with the ledger and the keyed digest of the beats; raises to refuse.

    Returns:
      What `run_dir/result.json` holds.

    Raises:
      ConfigError, DataError: after the run was marked FAILED with the reason.
    """
    experiment = experiment.resolved()
    with hold(run_dir, new=not resume):
        watcher, started, memory = watcher or Watcher(), time.monotonic(), PeakMemory()
        if experiment.is_private and experiment.privacy.may_have_guarantee:
            check_journal(run_dir) if resume else begin_journal(run_dir)
        tracker = experiment.tracking.start(
            run_name=name or experiment.title, run_dir=run_dir, resume_run_id=known_run_id(run_dir) if resume else None
        )
        publishing = publishing_of(run_dir, withholds=experiment.withholds)
        tracker = publishing.tracker(tracker)
        result = Result(status="FAILED", marks=experiment.marks())
        try:
            tracker.set_tags({"run.dir": str(run_dir.absolute()), **experiment.tags(), **(tags or {})})
            tracker.log_params(parameters(config or to_node(experiment)))
            if resolved_yaml is not None:
                tracker.log_text(resolved_yaml, "config.yaml")
            with publishing.logging():
                found = _run_tracked(
                    experiment, run_dir, tracker, watcher, publishing, admit, resume=resume, name=name or experiment.title,
                    sweep=(tags or {}).get("sweep"),
                )  # fmt: skip
            result = replace(
                publishing.result(found), run_id=tracker.run_id, seconds=round(time.monotonic() - started, 3)
            )
            tracker.log_metrics({"resources/seconds": result.seconds, "resources/peak_memory_mb": memory.megabytes()})
            tracker.log_file(result.write(run_dir))
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
            published = publishing.error(error)
            result = replace(result, status=status, reason=redact(f"{type(published).__name__}: {published}"))
            if published is not error:
                raise published from None
            raise
        finally:
            tracker.finish(result.status, result.reason)
            if result.status != "FINISHED":
                replace(result, run_id=tracker.run_id, seconds=round(time.monotonic() - started, 3)).write(run_dir)
        if publishing.withholds:
            watcher.say(
                f"what tells of training beats and is not covered by ε: {run_dir}/{PRIVATE}/ (do not hand it on)"
            )
        watcher.say(f"{result.seconds:.0f} s · {run_dir}/result.json · {tracker.url_hint}")
        return result


def _run_tracked(
    experiment: Experiment, run_dir: Path, tracker: Tracker, watcher: Watcher, publishing: Publishing, admit: Admission | None,
    *, resume: bool, name: str, sweep: str | None,
) -> Result:  # fmt: skip
    told, seeds = _Told(publishing, watcher), Seeds(experiment.seed)
    for line in experiment.notices():
        told.say("marks", line)
    with watcher.work("beats") as work:
        shown = work.without_notes() if publishing.withholds else work
        key, prepared = DigestKey.of(experiment.tracking.private_dir()), experiment.prepare(seeds, shown)
    people, prepared = people_of(prepared.beats, key), _keyed(prepared, key)
    artifacts.log_data(tracker, prepared)
    keeper = Keeper(run_dir, experiment.checkpoints, data_digest=prepared.beats.digest, resumes=resume)
    learner = Learner(experiment, prepared, seeds, keeper)
    told.add(class_coverage.notes_before_training(experiment, prepared))
    told.say_notes()
    if keeper.standing is not None:
        finished = f"{keeper.standing.step} of {experiment.trainer.num_steps}"
        told.say("resumes", f"going on after {experiment.trainer.step_name} {finished}")
    if admit is not None:
        admit(learner.ledger, prepared.beats.digest)
    loss = Loss(
        run_dir=str(run_dir.absolute()), name=name, run_id=tracker.run_id, sweep=sweep, people=people,
        charge=Charge.of(learner.ledger),
    )  # fmt: skip
    recorded = Losses(experiment.tracking.private_dir()).begin(loss, resumes=resume)
    if experiment.is_private and experiment.trainer.needs_clients:
        with watcher.work("what is within reach") as work:
            table = clients.outlook(learner.ledger.plan, learner.num_parameters, work)
        told.say("feasibility", table)
    chosen = learner.fit(tracker, watcher)
    told.add(learner.notes(chosen))
    scores = _evaluate(experiment, prepared, learner, chosen, tracker, watcher, told)
    metrics, statement = dict(scores.metrics), learner.statement(chosen)
    if statement is not None:
        metrics |= artifacts.log_privacy(tracker, statement)
        told.say("statement", statement.line())
    further = experiment.further_results(prepared)
    metrics |= further.metrics
    for line in further.lines:
        told.say("marks", line)
    tracker.log_metrics(metrics)
    artifacts.log_model(tracker, prepared, learner.classifier(chosen), run_dir)
    recorded.finish(None if statement is None else statement.event)
    return Result(
        status="FINISHED", metrics=metrics, undefined=scores.undefined, classes_in_average=scores.classes_in_average,
        notes=told.of_result(), selection=chosen.as_dict(), data=artifacts.describe_data(prepared),
        privacy=None if statement is None else statement.as_dict(), marks={**experiment.marks(), **further.marks},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """Of all splits that were asked for, as `Result` has them."""

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    classes_in_average: Mapping[str, Sequence[str]]


def _evaluate(
    experiment: Experiment, prepared: Prepared, learner: Learner, chosen: Chosen, tracker: Tracker, watcher: Watcher,
    told: "_Told",
) -> _Scores:  # fmt: skip
    """Scores the chosen weights: the test beats are looked at here, once, and nothing is decided after it."""
    metrics, undefined, predicted, classes_in_average = {}, {}, {}, {}
    for split in experiment.evaluate_on:
        evaluation, probabilities = learner.judge(split, chosen)
        artifacts.log_evaluation(tracker, prepared, split, evaluation, probabilities)
        metrics |= evaluation.metrics(split) | clients.log_clients(tracker, prepared, split, probabilities)
        predicted[split], classes_in_average[split] = probabilities, evaluation.classes_in_average
        told.add({split: evaluation_notes(evaluation) + clients.notes(prepared, split, probabilities)})
        undefined |= {f"{split}/{name}": reason for name, reason in evaluation.undefined.items()}
    comparison = None
    if experiment.comparisons.asked:
        comparison = compare(experiment, prepared, learner, chosen, predicted["test"], watcher)
        metrics |= clients.log_comparison(tracker, prepared, comparison)
        told.add({"comparisons": comparison.notes()})
    if experiment.evaluate_on:
        title = f"{experiment.title} · {prepared.beats.database} · {split}"
        artifacts.log_description(tracker, evaluation, title=title, notes=class_coverage.lines(told.published))
        told.say("summary", artifacts.summary(evaluation, title=title))
    for line in () if comparison is None else comparison.lines():
        told.say("comparison", line)
    told.say_notes()
    return _Scores(metrics=metrics, undefined=undefined, classes_in_average=classes_in_average)


class _Told:
    """What a run says on the way: lines of the console, where they may be published, and notes, which its result keeps too.

    Args:
      publishing: says what may be published.
      watcher: shows it.
    """

    def __init__(self, publishing: Publishing, watcher: Watcher):
        self._publishing, self._watcher = publishing, watcher
        self._notes: class_coverage.Notes = {}

    @property
    def published(self) -> class_coverage.Notes:
        """The notes that may stand in every output."""
        return class_coverage.published(self._notes, withholds=self._publishing.withholds)

    def of_result(self) -> class_coverage.Notes:
        """All notes, from which the result's publishing takes those that are withheld."""
        return {**self._notes, **self.published} if self._publishing.withholds else self._notes

    def say(self, name: str, text: Any) -> None:
        """Shows a line of that name."""
        if self._publishing.tells(name):
            self._watcher.say(text)

    def add(self, notes: Mapping[str, Sequence[str]]) -> None:
        """Adds to the notes; what they are about and has none is left out."""
        for about, texts in notes.items():
            if texts:
                self._notes[about] = [*self._notes.get(about, []), *texts]

    def say_notes(self) -> None:
        """Shows the notes so far, those that may be published."""
        for line in class_coverage.lines(self.published):
            self.say("notes", f"note: {line}")


def _keyed(prepared: Prepared, key: DigestKey) -> Prepared:
    """`prepared` under a digest that tells nobody outside of the store which beats it has; whatever is written has this one."""
    return replace(prepared, beats=replace(prepared.beats, digest=key.digest(prepared.beats.digest)))


def _kind(value: Any) -> str:
    return type(value).__name__


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
