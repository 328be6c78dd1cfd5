import pytest

from ecgexp.analysis.comparison.reading import Differing, differences
from ecgexp.analysis.find_runs import StoredRun

PARAMS = {
    "seed": "1",
    "trainer.learning_rate": "0.001",
    "privacy._target_": "ecgexp.privacy.NotPrivate",
}
TAGS = {
    "git.commit": "abc",
    "git.dirty": "false",
    "version.numpy": "1.26.4",
    "dataset.digest": "d1",
}


def run(params=None, tags=None):
    return StoredRun(
        run_id="r",
        name="n",
        status="FINISHED",
        started=0.0,
        params=PARAMS | (params or {}),
        metrics={},
        tags=TAGS | (tags or {}),
        _files=None,
    )


def test_a_run_does_not_differ_from_itself():
    found = differences(run(), run())
    assert found.none
    assert not found.only_seed


def test_differing_settings_are_listed_by_name():
    found = differences(
        run({"trainer.epochs": "3"}),
        run({"trainer.learning_rate": "0.01", "privacy.noise_multiplier": "1.0"}),
    )
    assert found.settings == (
        Differing(name="privacy.noise_multiplier", a=None, b="1.0"),
        Differing(name="trainer.epochs", a="3", b=None),
        Differing(name="trainer.learning_rate", a="0.001", b="0.01"),
    )
    assert not found.only_seed


@pytest.mark.parametrize(
    "name",
    [
        "tracking.uri",
        "tracking._target_",
        "data.root",
        "data.cache_dir",
        "dataset.cache_dir",
        "dataset.root",
        "name",
        "num_resamples",
        "evaluate_on",
        "federated_baselines.pooled",
    ],
)
def test_what_says_nothing_about_the_result_is_left_out(name):
    assert differences(run({name: "here"}), run({name: "there"})).none
    assert differences(run({name: "here"}), run()).none


@pytest.mark.parametrize(
    "name", ["dataset.seed", "model.name", "model.root_filters", "tracked", "split.evaluate_on"]
)
def test_names_that_only_look_like_those_are_kept(name):
    assert [row.name for row in differences(run({name: "1"}), run({name: "2"})).settings] == [name]


def test_two_seeds_of_one_configuration_are_named():
    assert differences(run(), run({"seed": "2"})).only_seed
    assert not differences(run(), run({"seed": "2", "trainer.learning_rate": "0.1"})).only_seed
    assert not differences(run(), run({"seed": "2"}, {"git.commit": "def"})).only_seed
    assert not differences(run(), run({"dataset.seed": "2"})).only_seed


@pytest.mark.parametrize(
    "name", ["git.commit", "git.dirty", "version.numpy", "dataset.digest", "dataset.name"]
)
def test_code_versions_and_data_are_held_against_each_other(name):
    found = differences(run(), run(tags={name: "other"}))
    assert found.origin == (Differing(name=name, a=TAGS.get(name), b="other"),)
    assert not found.none


@pytest.mark.parametrize(
    "name", ["host.cores", "process.pid", "command", "mlflow.user", "mlflow.note.content"]
)
def test_the_machine_and_the_hour_are_not(name):
    assert differences(run(), run(tags={name: "other"})).none
