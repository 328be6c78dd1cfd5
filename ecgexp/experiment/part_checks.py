"""Checks that the parts of an experiment fit together."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import is_pydantic_dataclass

from ecgexp.augmentation.base import Augmentation
from ecgexp.data.datasets.base import Dataset, quality_of
from ecgexp.data.grouping import LabelGrouping
from ecgexp.data.partition.base import Partition
from ecgexp.data.partition.natural import ByPatient, ByRecord
from ecgexp.data.splits.base import Splitter
from ecgexp.evaluation.names import metric_names
from ecgexp.features.checks import crossing_beats
from ecgexp.features.inputs import Features
from ecgexp.features.record_beats import needs_record
from ecgexp.models.base import ModelBuilder
from ecgexp.models.estimator import is_estimator
from ecgexp.privacy.plan import Privacy
from ecgexp.privacy.unit_checks import check_unit_covers_features, shared_units
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.installation import to_type
from ecgexp.settings.option_names import option_name
from ecgexp.settings.plugins import is_foreign
from ecgexp.training.base import Trainer
from ecgexp.training.fit import Fit
from ecgexp.training.loss import CrossEntropy

if TYPE_CHECKING:
    from ecgexp.experiment.experiment import Experiment

_UNKNOWN = "nothing states whose the beats are"
_STATED = "dataset.patients= with the patient of each beat"


def option_of(part: Any) -> str:
    """Return the name by which a user chooses a part: `cnn1d` for a `Cnn1d`."""
    return option_name(type(part).__name__)


def check_parts(parts: Mapping[str, Any]) -> None:
    """Check that every part is a settings object, before its values are used.

    Args:
      parts: name of the setting -> its value.

    Raises:
      ConfigError: a part is another object, such as a Keras model, or the privacy settings are a
        plug-in's, which could state any ε.
    """
    for name, part in parts.items():
        if not is_pydantic_dataclass(type(part)):
            raise ConfigError(_not_loadable(name, part))
    if is_foreign(parts["privacy"]):
        raise ConfigError(
            f"privacy=<{type(parts['privacy']).__module__}>: a plug-in cannot define what a "
            "guarantee is; use privacy=dp, privacy=patient or privacy=none with other values."
        )


def check_can_be_loaded(experiment: "Experiment") -> None:
    """Check that the run, its model and its preprocessing can be loaded again.

    Raises:
      ConfigError: a part other than `tracking` is of a class without a public name, or of one that
        its setting does not take from a configuration.
    """
    for field in fields(experiment):
        if field.name == "tracking":
            continue
        value = getattr(experiment, field.name)
        try:
            build_node(to_node(value), field.name, field.type)
        except ConfigError as error:
            raise ConfigError(_not_loadable(field.name, value)) from error


def _not_loadable(name: str, part: Any) -> str:
    return (
        f"{name}=<{type(part).__module__}.{type(part).__qualname__}>: could not be loaded again by "
        "resume and prediction, which need a settings class with a public name; use one of ecgexp, "
        f"or of a plug-in ({to_type('ecgexp-new plugin NAME')} writes one)."
    )


def check_classes(grouping: LabelGrouping) -> None:
    """Check that the metrics of the classes have distinct names.

    Raises:
      ConfigError: they have not.
    """
    try:
        metric_names(list(grouping.classes))
    except ValueError as error:
        raise ConfigError(
            f"grouping.classes={_listed(frozenset(grouping.classes))}: {error}"
        ) from error


def check_features(features: Features, model: ModelBuilder, augmentation: Augmentation) -> None:
    """Check that the features fit the model and the augmentation.

    Raises:
      ConfigError: the model lacks one or takes no such features, or the augmentation changes
        features that are not there.
    """
    made, changed = features.names(), augmentation.features
    if missing := model.required_features - made:
        raise ConfigError(
            f"model={option_of(model)}: takes {_listed(model.required_features)}, but the "
            f"features are {_listed(made)}; use {_models_for(made)}features={min(missing)}."
        )
    if surplus := made - model.required_features - model.optional_features:
        raise ConfigError(
            f"model={option_of(model)}: does not take {_listed(surplus)}, but the features are "
            f"{_listed(made)}; use other features, or another model."
        )
    if missing := changed - made:
        raise ConfigError(
            f"augmentation={augmentation.name}: changes {_listed(changed)}, but the "
            f"features are {_listed(made)}; use augmentation=none, or features={min(missing)}."
        )


def check_model(experiment: "Experiment") -> None:
    """Check that a classical model is fitted, a network trained, and no setting is without effect.

    Raises:
      ConfigError: the trainer trains the other kind, or a part is given that fitting does not use.
    """
    model, trainer, augmentation = experiment.model, experiment.trainer, experiment.augmentation
    if not is_estimator(model):
        if isinstance(trainer, Fit):
            raise ConfigError(
                f"trainer=fit: fits classical models, and model={option_of(model)} is a network; "
                "use trainer=centralized, or model=extra_trees."
            )
        return
    name = f"model={option_of(model)}"
    if not isinstance(trainer, Fit):
        raise ConfigError(
            f"trainer={option_of(trainer)}: trains networks by gradients, and {name} has none; "
            "use trainer=fit, or model=mlp features=handcrafted."
        )
    if augmentation.name != "none":
        raise ConfigError(
            f"augmentation={augmentation.name}: has no effect on {name}; use augmentation=none."
        )
    if experiment.loss != CrossEntropy():
        raise ConfigError(
            f"loss={option_of(experiment.loss)}: has no effect on {name}, which has no loss; use "
            "loss=cross_entropy with its defaults, and model.full_weight_beats= or "
            "model.class_bias=."
        )
    if experiment.debug.preset in ("overfit", "profile"):
        raise ConfigError(
            f"debug={experiment.debug.preset}: follows training steps, and {name} has none; use "
            "debug=smoke."
        )
    model.check_names(tuple(experiment.grouping.classes), experiment.features.names())


def check_rows(dataset: Dataset, features: Features) -> None:
    """Check that the features need no more of beats cut elsewhere than their file has.

    Raises:
      ConfigError: they need RR intervals, the template of the record, or millivolts.
    """
    if dataset.has_records:
        return
    rr, lacks = getattr(features, "rr", False), []
    if features.uses_template:
        lacks.append("the template of a record")
    if features.uses_rr and (features.uses_template or not getattr(dataset, "rr", False)):
        lacks.append("RR intervals")
    elif rr == "rhythm":
        lacks.append("the intervals of the rhythm")
    if lacks:
        setting = "features" if features.uses_template or not rr else f"features.rr={rr}".lower()
        raise ConfigError(
            f"{setting}: needs {' and '.join(lacks)}, which beats that are cut already do not "
            "have; use features=signal, or features=signal_rr dataset.rr=true if the file has the "
            "columns rr_previous_s, rr_next_s, rr_local_mean_s and rr_ratio."
        )
    if getattr(features, "scale", None) == "fixed" and getattr(dataset, "units", "mV") != "mV":
        raise ConfigError(
            "features.scale=fixed: draws millivolts, but the units of the beats are unknown; use "
            "features.scale=autoscale, or dataset.units=mV if they are millivolts."
        )


def check_privacy(experiment: "Experiment") -> None:
    """Check that the trainer supports the privacy settings and no other part breaks them.

    Raises:
      ConfigError: it does not, or one does.
    """
    trainer, privacy = experiment.trainer, experiment.privacy
    if not experiment.is_private:
        if trainer.needs_privacy:
            raise ConfigError(
                f"trainer={option_of(trainer)}: needs a privacy setting, but privacy=none; "
                "use privacy=dp privacy.noise_multiplier=1.1, or trainer=centralized."
            )
        return
    units = trainer.privacy_units
    if not units:
        raise ConfigError(
            f"trainer={option_of(trainer)}: has no privacy guarantee, but a privacy setting "
            "is given; use trainer=dp, or privacy=none."
        )
    if privacy.unit not in units:
        raise ConfigError(
            f"privacy.unit={privacy.unit}: trainer={option_of(trainer)} supports "
            f"{' and '.join(sorted(units))}; use privacy=patient, which also sets a suitable "
            "clip, or privacy.unit=patient."
        )
    trainer.check_privacy(privacy)
    if is_foreign(experiment.trainer) and experiment.has_privacy_guarantee:
        raise ConfigError(
            f"trainer={option_of(experiment.trainer)}: is of a plug-in, and nothing can check "
            "that its steps clip and add the planned noise; for a privacy guarantee use trainer=dp "
            "or trainer=federated, for a simulation privacy.noise_seed=1."
        )
    if is_foreign(experiment.features) and needs_record(experiment.features):
        raise ConfigError(
            f"features={option_of(experiment.features)}: of_record of a plug-in gets whole "
            "records, and nothing checks that it keeps none of them for others; under privacy use "
            "features without of_record."
        )
    check_unit_covers_features(privacy.unit, crossing_beats(experiment.features))
    if privacy.unit == "beat" and quality_of(experiment.dataset) == "drop":
        raise ConfigError(
            "dataset.quality=drop: whether a beat is left out depends on 10 s of signal, and so on "
            "adjacent beats, which privacy.unit=beat cannot cover; use dataset.quality=mark, or "
            "privacy.unit=patient."
        )
    if (
        experiment.has_privacy_guarantee
        and privacy.unit != "beat"
        and experiment.split.divides_patients
    ):
        raise ConfigError(shared_units(privacy.unit, "validation or test beats"))
    if experiment.device.mixed_precision:
        raise ConfigError(
            "device.mixed_precision=true: skips the steps in which float16 overflows, which "
            "depends on the data; under privacy use device.mixed_precision=false."
        )
    if experiment.model.has_batch_normalization:
        raise ConfigError(
            "model.normalization=batch: mixes the beats of a batch, so that the influence of "
            "one beat on a gradient has no bound; under privacy use model.normalization=group."
        )


def check_patients_known(
    is_known: bool, *, split: Splitter, partition: Partition, privacy: Privacy | None = None
) -> None:
    """Check that nothing is divided or protected by patient if the patients are unknown.

    **Guarantees**: with unknown patients there is no split, no client and no guarantee by patient
    or record (`tests/unit/experiment/test_unknown_patients.py`).

    Args:
      is_known: whether the patients of the beats are stated or assumed.
      split: divides the beats.
      partition: assigns them to clients.
      privacy: its unit is protected; None: it is checked elsewhere.

    Raises:
      ConfigError: something is.
    """
    if is_known:
        return
    if split.needs_patients:
        raise ConfigError(
            f"split={option_of(split)}: divides by patient, but {_UNKNOWN}; use split=as_given or "
            f"split=intra_patient, which divide beat by beat, or {_STATED}."
        )
    if isinstance(partition, ByPatient | ByRecord):
        raise ConfigError(
            f"partition={option_of(partition)}: every patient or record is a client, but "
            f"{_UNKNOWN}; use partition=iid, dirichlet, shards or quantity_skew, or {_STATED}."
        )
    if privacy is not None and privacy.is_private and privacy.unit != "beat":
        raise ConfigError(
            f"privacy.unit={privacy.unit}: protects all beats of a {privacy.unit}, but {_UNKNOWN}; "
            f"use trainer=dp privacy.unit=beat, or {_STATED}."
        )


def check_clients(trainer: Trainer, partition: Partition) -> None:
    """Check that beats are assigned to clients exactly if the trainer trains clients.

    Raises:
      ConfigError: they are not.
    """
    if trainer.needs_clients and partition.is_pooled:
        raise ConfigError(
            f"trainer={option_of(trainer)}: trains clients, but partition=none assigns all "
            "beats to one; use partition=by_patient."
        )
    if not trainer.needs_clients and not partition.is_pooled:
        raise ConfigError(
            f"partition={option_of(partition)}: assigns beats to clients, but "
            f"trainer={option_of(trainer)} trains on pooled beats; use partition=none, or "
            "trainer=federated."
        )


def _models_for(made: frozenset[str]) -> str:
    """Return the shipped models that take these features, as a part of a message."""
    from ecgexp import models

    known = (getattr(models, name) for name in dir(models) if name[0].isupper())
    options = [
        f"model={option_name(one.__name__)}"
        for one in known
        if getattr(one, "required_features", None)
        and one.required_features <= made <= one.required_features | one.optional_features
    ]
    return f"{' or '.join(options)}, or " if options else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
