"""An experiment, and the one loop that runs it: whatever trains, this is how it is evaluated, tracked and ended."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp import outcome
from ecgexp._build import to_node
from ecgexp._validate import ConfigError, NonNegativeInt, settings
from ecgexp.console import Watcher
from ecgexp.device import Device
from ecgexp.evaluation.evaluator import Evaluation, evaluate
from ecgexp.evaluation.metrics import quick_scores
from ecgexp.inputs import input_shapes
from ecgexp.prepare import Prepared, prepare
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.plan import PrivacySpec
from ecgexp.privacy.statement import PrivacyStatement, check_unit_covers_features, state
from ecgexp.result import Result
from ecgexp.seeding import Seeds
from ecgexp.selection import Chosen, Selection
from ecgexp.serving import Classifier
from ecgexp.tracking.base import Tracker
from ecgexp.tracking.params import flatten


@settings
class Experiment:
    """Everything a run is made of; each part is a settings object, usually built from YAML by `ecgexp.config`.

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
      num_resamples: of the bootstrap behind each 95 % interval; 0 for none.
    """

    seed: NonNegativeInt
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
    num_resamples: NonNegativeInt = 1000

    def __post_init__(self):
        made, wanted = self.input.names(), self.model.required_inputs
        if not wanted <= made:
            raise ConfigError(
                f"{_kind(self.model)} takes {_listed(wanted)} and {_kind(self.input)} makes {_listed(made)}; type input={min(wanted)}"
            )
        if surplus := made - wanted - self.model.optional_inputs:
            raise ConfigError(f"{_kind(self.input)} makes {_listed(surplus)}, which {_kind(self.model)} does not take")
        if not self.augmentation.features <= made:
            wanted = self.augmentation.features
            raise ConfigError(
                f"augmentation={self.augmentation.name} changes {_listed(wanted)} and {_kind(self.input)} makes {_listed(made)}; "
                f"type augmentation=none or input={min(wanted)}"
            )
        self._check_privacy()

    def _check_privacy(self) -> None:
        if self.trainer.is_private != isinstance(self.privacy, PrivacySpec):
            wrong = (
                "privacy=none promises nothing"
                if self.trainer.is_private
                else "the privacy that was asked for is not given"
            )
            raise ConfigError(
                f"under trainer={_kind(self.trainer)} {wrong}; type trainer=dp with privacy=dp, or trainer=centralized with privacy=none"
            )
        if self.trainer.is_private:
            check_unit_covers_features(self.privacy.unit, self.input.features_crossing_beats)
            if self.device.mixed_precision:
                raise ConfigError(
                    "device.mixed_precision=true skips steps where float16 overflows, which depends on data; under privacy type device.mixed_precision=false"
                )
            if getattr(self.model, "normalization", "none") == "batch":
                raise ConfigError(
                    "model.normalization=batch mixes the beats of a batch, so no beat's part in a gradient can be bounded; type model.normalization=group"
                )

    @property
    def title(self) -> str:
        """A few words that tell the run from others: `cnn1d centralized seed 0`."""
        return f"{_kind(self.model).lower()} {_kind(self.trainer).lower()} seed {self.seed}"


def run(
    experiment: Experiment,
    run_dir: Path,
    *,
    config: Mapping[str, Any] | None = None,
    resolved_yaml: str | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Prepares, trains, evaluates and tracks one experiment.

    Args:
      experiment: what to do.
      run_dir: an existing folder; receives `result.json`, `metrics.jsonl`, the figures and the model.
      config: the composed configuration, logged leaf by leaf; by default the experiment itself.
      resolved_yaml: the same as text, kept as an artifact.
      watcher: shows progress.

    Returns:
      What `run_dir/result.json` holds.

    Raises:
      ConfigError, DataError: after the run was marked FAILED with the reason.
    """
    watcher, started = watcher or Watcher(), time.monotonic()
    tracker = experiment.tracking.start(run_name=experiment.title, run_dir=run_dir)
    result = Result(status="FAILED")
    try:
        tracker.log_params(flatten(config or to_node(experiment)))
        if resolved_yaml is not None:
            tracker.log_text(resolved_yaml, "config.yaml")
        result = _run_tracked(experiment, run_dir, tracker, watcher)
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        result = replace(result, status=status, reason=f"{type(error).__name__}: {error}")
        raise
    finally:
        result = replace(result, run_id=tracker.run_id, seconds=round(time.monotonic() - started, 3))
        tracker.finish(result.status, result.reason)
        result.write(run_dir)
    watcher.say(f"{result.seconds:.0f} s · {run_dir}/result.json · {tracker.url_hint}")
    return result


def _run_tracked(experiment: Experiment, run_dir: Path, tracker: Tracker, watcher: Watcher) -> Result:
    seeds = Seeds(experiment.seed)
    with watcher.work("beats") as work:
        prepared = prepare(
            dataset=experiment.dataset, grouping=experiment.grouping, split=experiment.split, model_input=experiment.input,
            seeds=seeds, report=work,
        )  # fmt: skip
    outcome.log_data(tracker, prepared)
    learner = _Learner(experiment, prepared, seeds)
    chosen = learner.fit(tracker, watcher)
    metrics, undefined = {}, {}
    for split in ("validation", "test"):  # the test beats are looked at here, once, and nothing is decided after it
        evaluation, probabilities = learner.judge(split, chosen)
        outcome.log_evaluation(tracker, prepared, split, evaluation, probabilities)
        metrics |= evaluation.metrics(split)
        undefined |= {f"{split}/{name}": reason for name, reason in evaluation.undefined.items()}
        if split == "test":
            _show(watcher, evaluation, title=f"{experiment.title} · {prepared.beats.database} · test")
    statement = learner.statement(chosen)
    if statement is not None:
        metrics |= outcome.log_privacy(tracker, statement)
        watcher.say(statement.line())
    tracker.log_metrics(metrics)
    outcome.log_model(tracker, prepared, learner.classifier(chosen), run_dir)
    return Result(
        status="FINISHED", metrics=metrics, undefined=undefined, selection=chosen.as_dict(), data=outcome.describe_data(prepared),
        privacy=None if statement is None else statement.as_dict(),
    )  # fmt: skip


class _Learner:
    """The model of one run: trained, asked, and handed over."""

    def __init__(self, experiment: Experiment, prepared: Prepared, seeds: Seeds):
        from ecgexp.training.resident import Predictor, ResidentFeatures

        self._experiment, self._prepared, self._seeds = experiment, prepared, seeds
        self._strategy = experiment.device.strategy()
        self.ledger = Ledger(experiment.trainer.plan(experiment.privacy, prepared.data))
        self._predict = Predictor(self._build_model(), ResidentFeatures(prepared.data.features, prepared.data.labels))

    def fit(self, tracker: Tracker, watcher: Watcher) -> Chosen:
        """Trains to the end or until the selection has seen enough; every epoch is validated and tracked."""
        experiment, data = self._experiment, self._prepared.data
        chosen = Chosen(experiment.selection, is_private=experiment.trainer.is_private)
        history: dict[str, list[float]] = defaultdict(list)
        with watcher.work("training") as work, self._strategy.scope():
            steps = experiment.trainer.train(
                data, build_model=self._build_model, loss=experiment.loss.build(self._prepared.class_counts),
                augmentation=experiment.augmentation, ledger=self.ledger, seeds=self._seeds,
                report=_EpochReport(work, experiment.trainer.num_steps),
            )  # fmt: skip
            for progress in steps:
                scores = self._validate(progress.weights())
                metrics = {f"train/{name}": value for name, value in progress.train_metrics.items()}
                metrics |= {f"validation/{name}": value for name, value in scores.items()} | self._spent()
                tracker.log_metrics(metrics, step=progress.step)
                for name, value in metrics.items():
                    history[name].append(value)
                if not chosen.consider(progress, scores):
                    break
        outcome.log_history(
            tracker, history, source=self._prepared.beats.database, step_name="epoch", kept_step=chosen.step
        )
        return chosen

    def statement(self, chosen: Chosen) -> PrivacyStatement | None:
        """What the run promises, priced by what ran; None where no promise was made."""
        if not self._experiment.trainer.is_private:
            return None
        idle = {"normalisation"}  # inputs are scaled by constants or by the beat itself
        idle |= set() if chosen.uses_validation else {"selection"}
        idle |= set() if self._experiment.loss.class_weights == "balanced" else {"class_weights"}
        return state(self.ledger, does_not_apply=idle)

    def judge(self, split: str, chosen: Chosen) -> tuple[Evaluation, np.ndarray]:
        """The scores of the chosen weights on one split, and the probabilities behind them."""
        prepared, rows = self._prepared, self._prepared.indices[split]
        probabilities = self._predict(chosen.weights, rows)
        beats = prepared.beats
        evaluation = evaluate(
            labels=beats.labels[rows], probabilities=probabilities, class_names=beats.class_names, record_ids=beats.record_ids[rows],
            patient_ids=beats.patient_ids[rows], majority_class=prepared.majority_class,
            rng=self._seeds.generator(f"bootstrap/{split}"), num_resamples=self._experiment.num_resamples,
        )  # fmt: skip
        return evaluation, probabilities

    def classifier(self, chosen: Chosen) -> Classifier:
        """The chosen weights with everything needed to score a raw window."""
        beats = self._prepared.beats
        return Classifier(
            builder=self._experiment.model, model_input=self._experiment.input, weights=chosen.weights,
            class_names=beats.class_names, window=beats.signals_mv.shape[1], lead_names=beats.lead_names, fs_hz=beats.fs_hz,
            before_samples=self._experiment.dataset.window_samples[0], database=beats.database,
        )  # fmt: skip

    def _spent(self) -> dict[str, float]:
        """ε so far, by RDP where it has a price: an upper bound of the reported value, and there in milliseconds."""
        if not self.ledger.plan.is_private:
            return {}
        try:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent("rdp")}
        except ConfigError:
            return {"privacy/epsilon_spent": self.ledger.epsilon_spent()}

    def _validate(self, weights: list[np.ndarray]) -> dict[str, float]:
        data, rows = self._prepared.data, self._prepared.split.validation
        return dict(quick_scores(data.labels[rows], self._predict(weights, rows), data.class_names).values)

    def _build_model(self) -> Any:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(self._seeds.integer("initial weights"))
        return self._experiment.model.build(
            input_shapes(self._prepared.data.features), len(self._prepared.data.class_names)
        )


@dataclass
class _EpochReport:
    """Turns the steps within an epoch into one bar over the whole training."""

    work: Any
    num_epochs: int
    epoch: int = 1

    def __call__(self, *, done: int, total: int, metrics: Mapping[str, float]) -> None:
        note = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.work((self.epoch - 1) * total + done, self.num_epochs * total, f"epoch {self.epoch} {note}")
        self.epoch += done == total


def _show(watcher: Watcher, evaluation: Evaluation, *, title: str) -> None:
    from ecgexp.evaluation.tables import summary_table

    watcher.say(summary_table(evaluation, title=title))


def _kind(value: Any) -> str:
    return type(value).__name__


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
