"""`figures.format=` gives the format of every figure of a run."""

import re
from pathlib import Path

import pytest

from ecgexp.config.compose import load_experiment
from ecgexp.experiment import artifacts
from ecgexp.settings.build import to_node
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking.local.tracker import JsonlTracker

EXPERIMENT = Path(artifacts.__file__).parent


@pytest.mark.parametrize(("figure_format", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figure_is_stored_in_the_format(tmp_path, figure_format, begins):
    artifacts.log_history(
        JsonlTracker(tmp_path),
        {"train/loss": [2.0, 1.0]},
        source="mitdb 1.0.0",
        step_name="epoch",
        kept_step=1,
        withholds=False,
        figure_format=figure_format,
    )
    stored = tmp_path / "figures" / f"learning_curves.{figure_format}"
    assert stored.read_bytes().startswith(begins)
    assert not list(tmp_path.glob("figures/*.png"))


def test_no_figure_of_a_run_has_a_fixed_format():
    for file in EXPERIMENT.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"figures/[^\"]*\.png", text), file.name
        calls = re.findall(r"log_(?:data|evaluation|history|clients|federated_baselines)\(", text)
        given = text.count("figure_format=") + text.count("figure_format: str")
        assert given >= len(calls), file.name


def test_settings_without_a_file_name_their_class():
    """`run(experiment, folder)` of a script logs the experiment itself."""
    found = to_node(load_experiment(["figures.format=pdf"]))["figures"]
    assert found == {"_target_": "ecgexp.experiment.Figures", "format": "pdf"}


def test_unknown_format_is_refused():
    assert load_experiment(["figures.format=pdf"]).figures.format == "pdf"
    with pytest.raises(ConfigError, match=r"figures\.format=.*(svg|pdf)"):
        load_experiment(["figures.format=gif"])
