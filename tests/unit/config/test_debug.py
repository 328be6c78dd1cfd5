"""`debug=`: its presets compose with every trainer and experiment, and typed settings win."""

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir
from ecgexp.settings.registry import public_name

PRESETS = ("smoke", "overfit", "profile")
TRAINERS = {
    "centralized": [],
    "dp": ["privacy.noise_multiplier=1.1"],
    "federated": ["privacy=patient", "privacy.noise_multiplier=1"],
}
EXPERIMENTS = sorted(
    str(path.relative_to(config_dir() / "experiment").with_suffix(""))
    for path in (config_dir() / "experiment").rglob("*.yaml")
)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_preset_shortens_every_trainer(preset, trainer):
    chosen = [f"trainer={trainer}", *TRAINERS[trainer]]
    short, long = load_experiment([f"debug={preset}", *chosen]), load_experiment(chosen)
    assert short.debug.preset == preset
    if preset == "overfit":
        assert short.selection.weights == "last"
    else:
        assert short.trainer.num_steps == 2 < long.trainer.num_steps


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_smoke_of_every_experiment_scores_no_test_beats(experiment):
    found = load_experiment([f"experiment={experiment}", "debug=smoke"])
    assert found.evaluated == ("validation",)
    assert found.tags()["debug"] == found.marks()["debug"] == "smoke"


def test_smoke_takes_fewer_beats_for_the_largest_model():
    names = ("mitdb_intra_patient_cnn1d_centralized", "mitdb_intra_patient_cnn2d_centralized")
    small, large = (load_experiment([f"experiment={name}", "debug=smoke"]).debug for name in names)
    assert large.train_beats < small.train_beats


@pytest.mark.parametrize("model", ["cnn1d", "cnn2d"])
def test_overfit_turns_off_dropout(model):
    features = ["features=image"] if model == "cnn2d" else []
    found = load_experiment(["debug=overfit", f"model={model}", *features]).model
    rates = found.dropouts if model == "cnn2d" else (found.dropout,)
    assert not any(rates)


def test_overfit_and_trainers_are_set_for_every_option():
    """A new model or trainer needs a file, or `debug=` would leave it as it is."""
    models, trainers = (
        {path.stem for path in (config_dir() / group).glob("*.yaml")}
        for group in ("model", "trainer")
    )
    for group, names in (
        ("debug_model", {f"overfit_{name}" for name in models} | {"smoke_cnn2d"}),
        ("debug_trainer", {f"{preset}_{name}" for preset in PRESETS for name in trainers}),
    ):
        assert {path.stem for path in (config_dir() / group).glob("*.yaml")} == names


def test_overfit_turns_off_augmentation_of_an_experiment():
    found = load_experiment(["experiment=replication/central_corrected", "debug=overfit"])
    assert public_name(type(found.augmentation)) == "ecgexp.augmentation.NoAugmentation"


@pytest.mark.parametrize("trainer", ["dp", "federated"])
def test_typed_settings_beside_a_preset_win(trainer):
    key = "num_rounds" if trainer == "federated" else "epochs"
    found = load_experiment(
        [
            "debug=overfit",
            f"trainer={trainer}",
            *TRAINERS[trainer],
            f"trainer.{key}=7",
            "model.dropout=0.3",
            "debug.train_beats=11",
        ]
    )
    assert (found.trainer.num_steps, found.model.dropout, found.debug.train_beats) == (7, 0.3, 11)


def test_debug_run_that_would_score_test_beats_is_refused():
    with pytest.raises(ConfigError, match=r"evaluate_on=.*leave debug=smoke out"):
        load_experiment(["debug=smoke", "evaluate_on=[validation,test]"])


def test_ordinary_run_has_no_mark():
    found = load_experiment([])
    assert not found.debug.is_on
    assert "debug" not in {**found.tags(), **found.marks()}
    assert not found.notices()
