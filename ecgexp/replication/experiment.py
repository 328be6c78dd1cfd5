"""The one place where switches become parts of a run."""

from dataclasses import replace
from typing import Any

from ecgexp.settings.declaration import ConfigError

# By protocol, what the predecessor tested and held out. Under privacy its sizes decide ε: 66 288 rows of its 107 065 beats were
# for training, of which `fit` held 21 % out and left 52 367.
SPLIT_FRACTIONS = {"central": (0.15, 0.21), "dp": (0.38086, 0.21)}


def replay(experiment: Any) -> Any:
    """An experiment with its sound parts replaced by what its switches name; the same one where none is on.

    Doing it twice changes nothing more.

    Args:
      experiment: an `ecgexp.experiment.run.Experiment`.

    Raises:
      ConfigError: a switch finds nothing to replace.
    """
    flaws = experiment.flaws
    if not flaws.names:
        return experiment
    changed = _data(experiment) | _learning(experiment) | _privacy(experiment)
    return replace(experiment, **changed) if changed else experiment


def _data(experiment: Any) -> dict[str, Any]:
    from ecgexp.data.splits import IntraPatient
    from ecgexp.replication.parts import CopiedBefore, FirstBeats

    flaws, changed = experiment.flaws, {}
    dataset = experiment.dataset
    if flaws.stand_in_lead and not isinstance(dataset, FirstBeats):
        dataset = replace(dataset, missing_lead="first")
    if flaws.beat_cap and not isinstance(dataset, FirstBeats):
        dataset = FirstBeats(dataset=dataset)
        changed["grouping"] = replace(experiment.grouping, empty_class="drop")
    if flaws.split_by_beat:
        test, validation = SPLIT_FRACTIONS[flaws.protocol]
        changed["split"] = IntraPatient(test_fraction=test, validation_fraction=validation)
    if flaws.autoscale:
        _require(experiment.input, "scale", "autoscale", "input=image")
        changed["input"] = replace(experiment.input, scale="autoscale")
    if flaws.augment_before_split and not isinstance(experiment.augmentation, CopiedBefore):
        if experiment.augmentation.num_views == 1:
            raise ConfigError(
                f"flaws.augment_before_split=true needs copies, and augmentation={experiment.augmentation.name} makes none; type "
                "augmentation=parity, or flaws.augment_before_split=false"
            )
        changed["augmentation"] = CopiedBefore.of(experiment.augmentation)
    return changed | {"dataset": dataset}


def _learning(experiment: Any) -> dict[str, Any]:
    flaws, changed = experiment.flaws, {}
    if flaws.last_checkpoint:
        changed["selection"] = replace(experiment.selection, keep="last")
    if flaws.one_round_less:
        from ecgexp.replication.parts import OneRoundLess

        if getattr(experiment.trainer, "num_rounds", 0) < 2:
            raise ConfigError(
                "flaws.one_round_less=true needs two rounds to leave one out; type trainer=federated trainer.num_rounds=20, or "
                "flaws.one_round_less=false"
            )
        if not isinstance(experiment.trainer, OneRoundLess):
            changed["trainer"] = OneRoundLess.of(experiment.trainer)
    return changed


def _privacy(experiment: Any) -> dict[str, Any]:
    """A private run with a fault trains under noise that can be recomputed, so that nothing anywhere takes it for a promise."""
    from ecgexp.privacy.plan import PrivacySpec
    from ecgexp.replication.parts import NeverRan, without_noise
    from ecgexp.training.dp.trainer import DpSgd

    flaws, privacy = experiment.flaws, experiment.privacy
    if flaws.protocol != "dp":
        if experiment.is_private:
            raise ConfigError(
                f"flaws.{flaws.names[0]}=true replays a protocol that promised nothing; type privacy=none, or "
                f"experiment=parity/dp, or flaws.{flaws.names[0]}=false"
            )
        return {}
    if isinstance(privacy, NeverRan):
        return {}
    if not (isinstance(privacy, PrivacySpec) and isinstance(experiment.trainer, DpSgd)):
        raise ConfigError(
            f"flaws.{flaws.names[0]}=true under experiment=parity/dp needs the promise that was broken; type trainer=dp "
            f"privacy=dp, or flaws.{flaws.names[0]}=false"
        )
    if flaws.noise_never_runs:
        changed = {"trainer": without_noise(experiment.trainer), "privacy": NeverRan(intended=privacy)}
        if flaws.batch_norm_under_dp:
            _require(experiment.model, "normalization", "batch_norm_under_dp", "model=cnn1d_small")
            changed["model"] = replace(experiment.model, normalization="batch")
        return changed
    seed = experiment.seed if privacy.noise_seed is None else privacy.noise_seed
    sampling = "shuffle" if flaws.shuffled_as_poisson else privacy.sampling
    return {"privacy": replace(privacy, noise_seed=seed, sampling=sampling)}


def _require(part: Any, setting: str, flaw: str, typed: str) -> None:
    if not hasattr(part, setting):
        raise ConfigError(
            f"flaws.{flaw}=true has nothing to change in {type(part).__name__}; type {typed}, or flaws.{flaw}=false"
        )
