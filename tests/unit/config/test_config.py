"""Every YAML composes and builds; invalid settings are rejected in one line with a remedy."""

import pytest

from ecgexp.config.compose import (
    build_experiment,
    for_the_record,
    load_config,
    load_experiment,
    sweep_settings,
    to_yaml,
)
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.location import config_dir

CONF = config_dir()

# Options that an option requires.
COMPANIONS = {
    "dataset=arrays": ["dataset.path=beats.csv"],
    "grouping=labels": ["dataset=arrays", "dataset.path=b.csv", "dataset.classes=[a,b]"],
    "model=cnn2d": ["features=image"],
    "augmentation=crops9": ["features=image", "model=cnn2d"],
    "augmentation=image": ["features=image", "model=cnn2d"],
    "augmentation=replication": ["features=image", "model=cnn2d"],
    "features=image": ["model=cnn2d"],
    "features=handcrafted": ["model=mlp"],
    "features=rhythm_morphology": ["model=extra_trees", "dataset.window_ms=[360,560]"],
    "model=extra_trees": ["dataset.window_ms=[360,560]"],
    "trainer=fit": ["model=extra_trees", "dataset.window_ms=[360,560]"],
    "model=mlp": ["features=handcrafted"],
    "dataset=mitdb_to_svdb": ["split=cross_database"],
    "dataset=mitdb_to_incartdb": ["split=cross_database"],
    "dataset=mitdb_to_folder": ["split=cross_database"],
    "dataset=folder_to_folder": ["split=cross_database"],
    "split=cross_database": ["dataset=mitdb_to_svdb"],
    "trainer=dp": ["privacy.noise_multiplier=1.1"],
    "privacy=dp": ["trainer=dp", "privacy.noise_multiplier=1.1"],
    "privacy=patient": ["trainer=federated", "privacy.noise_multiplier=1"],
    "privacy=eps1": ["trainer=dp"],
    "privacy=eps3": ["trainer=dp"],
    "privacy=eps8": ["trainer=dp"],
    **{
        f"partition={name}": ["trainer=federated"]
        for name in ("by_patient", "by_record", "iid", "dirichlet", "shards", "quantity_skew")
    },
}

PLACES = {
    "median": "preprocessing@dataset",
    "bandpass": "preprocessing@dataset",
    "unfiltered": "preprocessing@dataset",
}
"""Where an option stands, if its group is part of another one."""


ELSEWHERE = ("hydra", "database", "__pycache__", "experiment", "debug_model", "debug_trainer")
"""Groups of parts of options, or listed below, or chosen by another option (`test_debug.py`)."""


def options():
    for folder in sorted(CONF.iterdir()):
        if folder.is_dir() and folder.name not in ELSEWHERE:
            yield from (
                f"{PLACES.get(path.stem, folder.name)}={path.stem}"
                for path in sorted(folder.glob("*.yaml"))
            )


def experiments():
    return [
        f"experiment={path.relative_to(CONF / 'experiment').with_suffix('')}"
        for path in sorted((CONF / "experiment").rglob("*.yaml"))
    ]


@pytest.mark.parametrize("option", [*options(), *experiments()])
def test_every_option_composes_and_builds(option):
    load_experiment([option, *COMPANIONS.get(option, [])])


def test_options_and_experiments_are_all_found():
    assert len(list(options())) >= 45
    assert len(experiments()) >= 2


@pytest.mark.parametrize("experiment", experiments())
def test_experiment_header_has_command_time_and_result(experiment):
    path = CONF / "experiment" / f"{experiment.removeprefix('experiment=')}.yaml"
    header = "".join(
        line for line in path.read_text().splitlines(keepends=True) if line.startswith("#")
    )
    assert experiment in header
    for word in ("Time", "Result"):
        assert word in header, f"{path.name} does not state its {word.lower()}"


@pytest.mark.parametrize(
    "names",
    [
        ("mitdb_intra_patient_cnn1d_dp_beat", "mitdb_intra_patient_cnn1d_centralized"),
        ("mitdb_inter_patient_cnn1d_dp_beat", "mitdb_inter_patient_cnn1d_centralized"),
        ("replication/dp_corrected", "replication/central_corrected"),
    ],
)
def test_private_experiment_differs_in_training_only(names):
    private, reference = (load_experiment([f"experiment={name}"]) for name in names)
    for part in ("dataset", "grouping", "split", "features", "augmentation", "model", "loss"):
        assert getattr(private, part) == getattr(reference, part), part


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer=dp", "privacy=none"],
            r"trainer=dp: .*privacy=none; use privacy=dp",
        ),
        (
            ["trainer=dp", "privacy=eps3", "features=signal_rr"],
            r"privacy\.unit=beat cannot cover rr_previous_s",
        ),
        (
            ["trainer=dp", "privacy=eps3", "model.normalization=batch"],
            r"use model\.normalization=group",
        ),
        (
            ["trainer=dp", "privacy=eps3", "device.mixed_precision=true"],
            r"use device\.mixed_precision=false",
        ),
    ],
)
def test_settings_that_break_a_beat_guarantee_are_rejected(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["privacy=dp"],
            r"privacy\.unit=beat: trainer=federated supports .*; use privacy=patient",
        ),
        (["trainer.aggregator=robust"], r"use trainer\.aggregator=mean"),
        (["trainer.aggregator=secure"], r"use trainer\.aggregator=mean"),
        (["trainer.algorithm=fedsgd"], r"use trainer\.algorithm=fedavg"),
        (["trainer.algorithm=mime_lite"], r"use trainer\.algorithm=fedavg"),
        (["trainer.client_schedule=cosine"], r"use trainer\.client_schedule=constant"),
        (["trainer.min_clients=2"], r"use trainer\.min_clients=0"),
        (["privacy.sampling=shuffle"], r"use privacy\.sampling=poisson"),
        (
            ["trainer.sampling=fixed", "trainer.clients_per_round=3"],
            r"use privacy\.sampling=fixed privacy\.accountant=rdp",
        ),
        (["privacy.sampling=fixed", "privacy.accountant=rdp"], r"use privacy\.sampling=poisson"),
        (["model.normalization=batch"], r"use model\.normalization=group"),
    ],
)
def test_settings_that_break_patient_guarantee_are_rejected(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(
            ["trainer=federated", "privacy=patient", "privacy.noise_multiplier=1", *overrides]
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=federated", "partition=none"], r"use partition=by_patient"),
        (
            ["partition=iid"],
            r"partition=iid: .*trainer=centralized .*use partition=none, or trainer=federated",
        ),
        (
            ["trainer=federated", "trainer.clients_per_round=3"],
            r"use trainer\.sampling=fixed",
        ),
        (
            ["trainer=federated", "trainer.sampling=poisson"],
            r"use e\.g\. trainer\.clients_per_round=5",
        ),
        (
            ["trainer=federated", "trainer.algorithm=fedsgd", "trainer.client_epochs=2"],
            r"use trainer\.client_epochs=1",
        ),
        (
            ["trainer=federated", "trainer.algorithm=fedadam", "trainer.server_optimizer=yogi"],
            r"use trainer\.algorithm=fedavg",
        ),
        (
            ["trainer=federated", "trainer.algorithm=fedsgd", "trainer.client_schedule=cosine"],
            r"client_schedule=constant",
        ),
        (["trainer=federated", "trainer.algorithm=scaffold"], r"'fedavg'.*'mime_lite'"),
    ],
)
def test_contradicting_federated_settings_are_rejected(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(overrides)


def test_removed_runtime_is_rejected_with_its_replacement():
    with pytest.raises(
        ConfigError, match=r"^trainer\.runtime='local'.*trainer\.runtime=inprocess$"
    ):
        load_experiment(["trainer=federated", "trainer.runtime=local"])


def test_privacy_of_a_trainer_is_replaced_in_any_order():
    for overrides in (["trainer=dp", "privacy=eps3"], ["privacy=eps3", "trainer=dp"]):
        assert load_experiment(overrides).privacy.target_epsilon == 3.0


def test_secrets_are_redacted_in_the_saved_configuration():
    config = load_config(
        [
            "trainer=dp",
            "privacy.noise_multiplier=1.1",
            "privacy.noise_seed=4711",
            "tracking.uri=http://me:hunter2@host",
        ]
    )
    kept = to_yaml(for_the_record(config))
    assert "noise_seed: '***'" in kept
    assert "uri: http://***@host" in kept
    assert build_experiment(config).privacy.noise_seed == 4711


def test_address_with_redacted_password_is_overridden():
    """A resumed run composes the overrides in `.hydra` first, then those of the command."""
    config = load_config(
        ["tracking.uri=http://***@host:5000", "tracking.uri=http://me:hunter2@host:5000"]
    )
    assert config.tracking.uri == "http://me:hunter2@host:5000"


def test_values_from_the_environment_are_not_saved(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@example.org")
    config = load_config([])
    assert "secret" not in to_yaml(for_the_record(config))
    assert for_the_record(config)["tracking"]["uri"] == "${oc.env:MLFLOW_TRACKING_URI}"
    assert build_experiment(config).tracking.uri == "https://me:secret@example.org"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epcohs=3", r"trainer\.epcohs is not a setting; did you mean trainer\.epochs\?"),
        ("+trainer.epcohs=3", r"trainer\.epcohs is not a setting; did you mean trainer\.epochs\?"),
        ("+shade=red", r"shade is not a setting"),
        ("modle=cnn1d", r"modle is not a setting; did you mean model\?"),
        (
            "model=cnn3d",
            r"model=cnn3d does not exist; did you mean model=cnn2d\?|did you mean model=cnn1d\?",
        ),
        (
            "trainer.epochs=0",
            r"trainer\.epochs=0 is not usable: it should be greater than or equal to 1",
        ),
        (
            "trainer.epochs=many",
            r"trainer\.epochs='many' is not usable: it should be a valid integer",
        ),
        ("model.dropout=1.5", r"model\.dropout=1\.5 is not usable: it should be less than 1"),
        ("seed=-1", r"seed=-1 is not usable"),
        (
            "device.kind=tpu",
            r"device\.kind='tpu' is not usable: it should be 'auto', 'cpu' or 'gpu'",
        ),
        ("selection.mode=most", r"selection\.mode='most'"),
        (
            "model=cnn2d",
            r"model=cnn2d: takes image, .*signal; use model=cnn1d .*, or features=image",
        ),
        (
            "features=image",
            r"model=cnn1d: takes signal, .*image; use model=cnn2d, or features=signal",
        ),
        (
            "augmentation=crops9",
            r"augmentation=crops9: changes image, .*; use augmentation=none, or features=image",
        ),
        ("model._target_=os.system", r"model\._target_=os\.system: .*; use a public name"),
        (
            "+trainer.callback={_target_:subprocess.run,args:[ls]}",
            r"trainer\.callback\._target_=subprocess\.run: .*; use a public name",
        ),
        ("trainer=dp", r"use privacy\.noise_multiplier=1\.1 or privacy\.target_epsilon=3"),
        ("selection.metric=f1/X", r"selection\.metric=f1/X: not a validation score; .*f1/V"),
        ("selection.metric=clients/accuracy_mean", r"selection\.metric=.*: not a .*macro_f1"),
        (
            "privacy=eps3",
            r"trainer=centralized: .*use trainer=dp, or privacy=none",
        ),
        ("trainer.epochs==", r"trainer\.epochs"),
    ],
)
def test_invalid_override_is_rejected_with_a_remedy(override, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment([override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["evaluate_on=[test,validation,test]"],
            r"evaluate_on=.*test is listed twice, at positions 1 and 3",
        ),
        (
            ["dataset=mitdb", "dataset.records=[101,101]"],
            r"dataset\.records=.*101 is listed twice, at positions 1 and 2",
        ),
        (
            ["dataset.leads=[MLII,V1,MLII]"],
            r"dataset\.leads=.*MLII is listed twice, at positions 1 and 3",
        ),
        (
            ["dataset=mitdb_to_svdb", "split=cross_database", "dataset.test.records=[800,800]"],
            r"dataset\.test\.records=.*800 is listed twice",
        ),
    ],
)
def test_list_with_a_duplicate_is_rejected(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(overrides)


def test_duplicate_sweep_objective_is_rejected():
    config = load_config(["sweep.objectives=[test/accuracy,test/accuracy]"])
    with pytest.raises(ConfigError, match=r"sweep\.objectives=.*is listed twice"):
        sweep_settings(config)


def test_option_of_a_group_within_a_group_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"use preprocessing@dataset=bandpass$"):
        load_experiment(["preprocessing=bandpass"])
    with pytest.raises(ConfigError, match=r"preprocessing\.fs_hz is not a setting; .*--cfg job"):
        load_experiment(["preprocessing.fs_hz=250"])


@pytest.mark.parametrize("dataset", ["synthetic", "mitdb_to_svdb"])
def test_preprocessing_is_chosen_for_all_records_of_a_dataset(dataset):
    split = ["split=cross_database"] if dataset == "mitdb_to_svdb" else []
    words = [f"dataset={dataset}", *split, "preprocessing@dataset=bandpass", "dataset.fs_hz=250"]
    found = load_experiment(words).dataset
    for part in getattr(found, "parts", {"": found}).values():
        assert (part.baseline, part.fs_hz) == ("bandpass", 250.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.n_trails=3", r"hydra\.sweeper\.n_trails .*mean hydra\.sweeper\.n_trials\?"),
        ("hydra.sweeper.sampler.seed=3", r"the settings of hydra\.sweeper are: .*\bseed\b"),
        ("hydra.sweeper.max_failure_rate=1", r"there are: direction, n_jobs, n_trials"),
        ("hydra.launcher.ray.init.address=auto", r"settings of hydra\.launcher are: address"),
        ("hydra/sweeper/sampler=random", r"hydra/sweeper/sampler is not a setting"),
    ],
)
def test_unknown_setting_of_a_search_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(["hydra/sweeper=search", "hydra/launcher=ray_jobs", override])


def test_plugin_of_another_package_names_its_extra(monkeypatch):
    """Without the package Hydra does not know the option that our file extends."""
    from hydra.core.config_store import ConfigStore

    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], "joblib.yaml")
    with pytest.raises(ConfigError, match=r"hydra/launcher/joblib .*use `uv sync --extra joblib`"):
        load_config(["hydra/launcher=processes"])


@pytest.mark.parametrize("value", ["null", "3", "true", "0.5"])
@pytest.mark.parametrize("group", ["model", "trainer", "experiment", "preprocessing@dataset"])
def test_group_without_the_name_of_an_option_is_refused(group, value):
    words = rf"^{group}=\S+: a group takes the name of an option; use e\.g\. {group}="
    with pytest.raises(ConfigError, match=words):
        load_config([f"{group}={value}", "seed=1"])


def test_unknown_key_names_settings_and_no_constants_of_the_class():
    with pytest.raises(ConfigError, match=r"model\._partial_ is not a setting; .*filters") as error:
        load_experiment(["+model._partial_=true"])
    assert "required_features" not in str(error.value)


@pytest.mark.parametrize("override", ["model._target_=null", "trainer.epochs=null"])
def test_null_is_shown_as_it_is_written(override):
    with pytest.raises(ConfigError, match=rf"^{override}(:| is not)"):
        load_experiment([override])


@pytest.mark.parametrize("override", ["dataset.leads=['']", "dataset.lead_aliases={MLII: ''}"])
def test_lead_without_a_name_is_refused(override):
    with pytest.raises(ConfigError, match=r"^dataset\.lead.* is not usable: string should have"):
        load_experiment([override])
