"""A run whose parts are all a plug-in's, and plug-ins that cheat in what TensorFlow computes."""

import json

import pytest
from plugin_packages import install_parts, on_path

import ecgexp
from ecgexp.config import load_experiment
from ecgexp.experiment.run import run
from ecgexp.settings.declaration import ConfigError

GROUPS = ("dataset", "grouping", "split", "features", "loss", "model", "augmentation")
DP = [f"{group}=mine" for group in GROUPS] + [
    "trainer=dp",
    "trainer.epochs=2",
    "trainer.expected_batch_size=32",
    "privacy=dp",
    "privacy.noise_multiplier=1",
    "tracking=none",
    "num_resamples=0",
    "evaluate_on=[validation]",
    "device=cpu",
]


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory):
    with on_path(tmp_path_factory.mktemp("path")) as place:
        install_parts(place)
        yield place


def test_private_run_of_plugin_parts_states_what_it_rests_on(tmp_path, caplog):
    loaded = ecgexp.run(DP, folder=tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "FINISHED"
    assert 0 < result["privacy"]["epsilon"] < 100
    assert result["privacy"]["steps"] == 10
    text = (tmp_path / "run" / "privacy_statement.txt").read_text(encoding="utf-8")
    for part in set(GROUPS) - {"grouping"}:
        assert f"- {part} of the plug-in mine (mine 1.0): that " in text
    assert "layer 'scale' (Scale): no clipping rule" in caplog.text
    assert type(loaded.model.builder).__name__ == "Net"


@pytest.mark.parametrize(
    ("part", "cheat", "why"),
    [
        ("loss", "the batch", r"^loss: the loss of one example changes.*; use "),
        ("augmentation", "two beats", r"^augmentation: one row of a batch changes.*; use "),
        ("model", "batch normalization", r"^model: layer 'norm' .*; use model.normalization=group"),
        ("model", "attention between beats", r"^model: .* of one example changes when.*; use "),
    ],
)
def test_part_that_cheats_gets_no_guarantee(tmp_path, part, cheat, why):
    experiment = load_experiment([*DP, f'{part}.cheat="{cheat}"'])
    with pytest.raises(ConfigError, match=why):
        run(experiment, tmp_path / "run")
    found = tmp_path / "run" / "result.json"
    result = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    assert not result.get("privacy")
    assert result.get("status", "FAILED") == "FAILED"
