"""A run is resumed only with the configuration that it began with."""

import pytest

from ecgexp.cli.resume import stored_config
from ecgexp.config.compose import for_the_record, load_config
from ecgexp.settings.declaration import ConfigError
from ecgexp.tracking import JsonlTracker
from ecgexp.tracking.params import parameters

TYPED = ["seed=3", "dataset=synthetic"]


def run_folder(folder, **changed):
    tracker = JsonlTracker(folder)
    tracker.log_params(parameters(for_the_record(load_config(TYPED))) | changed)
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "overrides.yaml").write_text(str(TYPED), encoding="utf-8")
    return folder


def test_resume_composes_the_overrides_of_the_run(tmp_path):
    assert stored_config(run_folder(tmp_path), []).seed == 3


def test_resume_of_an_earlier_version_is_refused(tmp_path):
    folder = run_folder(tmp_path, **{"model._target_": "ecgexp.models.cnn1d.Cnn1d"})
    with pytest.raises(
        ConfigError, match=r"resume=.*model\._target_=ecgexp\.models\.cnn1d.*use that version"
    ):
        stored_config(folder, [])
