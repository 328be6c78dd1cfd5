"""`ecgexp-predict` predicts a record as its run did, and changes nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from edf_bytes import edf_file
from model_environment import make_environment, python_in
from waiting import wait_for

from ecgexp.cli import predict
from ecgexp.config.compose import load_experiment
from ecgexp.data.formats.single_record import read_single
from ecgexp.data.preprocessing.settings import Preprocessing
from ecgexp.data.synthetic.database import write_database

SMALL = [
    "dataset.num_patients=6",
    "dataset.minutes=0.8",
    "trainer.epochs=1",
    "model.filters=[8,8]",
    "model.kernel_sizes=[5,3]",
    "model.dense_units=8",
    "num_resamples=0",
]
OTHER_PREPROCESSING = [
    "dataset.baseline=bandpass",
    "dataset.bandpass_hz=[1,30]",
    "dataset.relocate_ms=20",
    "dataset.fs_hz=250",
    "dataset.window_ms=[200,300]",
    "dataset.leads=[V1,MLII]",
    "dataset.missing_lead=first",
]


def run_predict(capsys, *arguments, code=0):
    try:
        found = predict.main([str(argument) for argument in arguments])
    except SystemExit as end:
        found = end.code
    said = capsys.readouterr()
    assert found == code, said.err
    return said


def refused(capsys, *arguments, code):
    """The one line that is said instead."""
    said = run_predict(capsys, *arguments, code=code)
    assert said.out == ""
    assert said.err.startswith("ecgexp-predict: ")
    assert said.err.count("\n") == 1
    return said.err


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """(overrides…) -> the run's folder and the records that it was trained and tested on."""
    cache = tmp_path_factory.mktemp("cache")

    def go(*overrides):
        from ecgexp.experiment.run import run

        folder = tmp_path_factory.mktemp("run")
        run(load_experiment([*overrides, f"data.cache_dir={cache}"]), folder)
        return folder, next(iter(cache.glob("synthetic-*")), None)

    return go


def compare_with_the_run(folder, output):
    """The probabilities of every test beat, and how many there are."""
    own = pd.read_parquet(folder / "predictions/test.parquet")
    parts = [
        pd.read_csv(path, keep_default_na=False).assign(record=path.stem)
        for path in output.glob("*.csv")
    ]
    both = own.merge(pd.concat(parts), on=["record", "sample"], suffixes=("_run", ""))
    for name in [column for column in own if column.startswith("probability/")]:
        np.testing.assert_allclose(both[name].astype(float), both[f"{name}_run"], atol=1e-5)
    assert both["class"].tolist() == both["predicted"].tolist()
    assert both["reference"].tolist() == both["symbol_run"].tolist()
    assert len(both) == len(own)
    return both


@pytest.fixture(scope="module")
def tracked(train, tmp_path_factory):
    """A run with RR intervals and templates in an MLflow store: its folder, records and store."""
    place = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{place}/mlflow.db"
    return *train(
        *SMALL,
        "features=signal_in_record",
        f"tracking.uri={store}",
        f"tracking.artifact_root={place}/artifacts",
    ), store


def annotate_test_records(folder, records, output, capsys):
    """Every record with test beats; the run's accuracy must be the agreement that is shown."""
    names = sorted(set(pd.read_parquet(folder / "predictions/test.parquet")["record"]))
    before = contents(records)
    said = run_predict(capsys, folder, *(records / name for name in names), "--output", output)
    assert contents(records) == before
    assert sorted(os.listdir(output)) == sorted(
        f"{name}{end}"
        for name in names
        for end in (".csv", ".ecgexp", ".summary.png", ".summary.txt")
    )
    compare_with_the_run(folder, output)
    return said, json.loads((folder / "result.json").read_text())["metrics"]["test/accuracy"]


@pytest.mark.slow
def test_record_is_predicted_as_the_run_did_its_test_beats(tracked, capsys, tmp_path):
    folder, records, _ = tracked
    said, accuracy = annotate_test_records(folder, records, tmp_path / "out", capsys)
    assert f"accuracy {accuracy:.3f}" in said.out
    assert "SYNTHETIC" in said.err
    assert "a synthetic record of a virtual patient" in said.out


@pytest.mark.slow
def test_record_is_predicted_with_other_preprocessing(train, capsys, tmp_path):
    small = [word for word in SMALL if not word.startswith("model.")]
    model = ["features=handcrafted", "model=mlp", "grouping=nlrvpa6"]
    folder, records = train(*small, "tracking=none", *model, *OTHER_PREPROCESSING)
    annotate_test_records(folder, records, tmp_path / "out", capsys)
    stored = json.loads((folder / "model" / "preprocessing.json").read_text())
    assert stored["window_samples"] == [50, 75]
    assert "probability/P" in pd.read_csv(next((tmp_path / "out").glob("*.csv")))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("features", ["signal", "signal_rr"])
def test_record_of_mit_bih_is_predicted_and_read_by_wfdb(
    train, real_root, capsys, tmp_path, features
):
    import wfdb

    folder, _ = train(
        *SMALL[2:],
        "tracking=none",
        "dataset=mitdb",
        f"data.root={real_root}",
        "dataset.records=[100,208]",
        "split=intra_patient",
        "grouping.empty_class=drop",
        f"features={features}",
    )
    place = real_root / "mitdb/1.0.0"
    said = run_predict(
        capsys,
        folder,
        place / "100",
        place / "208.hea",
        "--output",
        tmp_path,
        "--extension",
        "test",
    )
    both = compare_with_the_run(folder, tmp_path)
    assert set(both["record"]) == {"100", "208"}
    assert "SYNTHETIC" not in said.err
    assert "208: the run was not tested on" in said.out
    for record, beats in {"100": 2273, "208": 2955}.items():
        read, table = (
            wfdb.rdann(str(tmp_path / record), "test"),
            pd.read_csv(tmp_path / f"{record}.csv"),
        )
        assert len(table) == beats
        assert read.sample.tolist() == table["sample"].tolist()
        assert read.symbol == table["symbol"].tolist()
        assert (table["class"] == "unclassified").sum() == 2


@pytest.mark.slow
def test_a_run_in_mlflow_is_found_by_its_id(tracked, capsys, tmp_path):
    folder, records, store = tracked
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    run_predict(capsys, run_id, "--store", store, records / "s001", "--output", tmp_path / "by_id")
    run_predict(capsys, folder, records / "s001", "--output", tmp_path / "by_folder")
    assert contents(tmp_path / "by_id") == contents(tmp_path / "by_folder")


@pytest.fixture(scope="module")
def server(tracked, tmp_path_factory):
    """The address of a server of the run's model, with the model's requirements and no checkout.

    It is what `mlflow models serve` starts.
    """
    store = Path(tracked[2].removeprefix("sqlite:///")).parent
    (model,) = (path.parent for path in store.rglob("MLmodel"))
    place = tmp_path_factory.mktemp("serving")
    shutil.copytree(model, place / "model")
    site = make_environment(place / "model", place / "site-packages")
    python, variables = python_in(site, __pyfunc_model_path__=str(place / "model"))
    app = ("-m", "uvicorn", "--port", "0", "mlflow.pyfunc.scoring_server.app:app")
    with (place / "log").open("w") as log:
        process = subprocess.Popen([*python, *app], cwd=place, env=variables, stderr=log)
    log = place / "log"
    try:
        wait_for(lambda: "Uvicorn running on http://" in log.read_text(), process)
        yield re.search(r"http://[\d.]+:\d+", log.read_text())[0]
    finally:
        process.kill()
        process.wait()


def post(server, rows, code=200):
    request = urllib.request.Request(
        f"{server}/invocations",
        json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            found = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        found = error.code, json.load(error)
    assert found[0] == code, found
    return found[1].get("predictions", found[1].get("message"))


@pytest.mark.slow
@pytest.mark.parametrize("beats", ["reference", "detector"])
def test_served_signal_is_predicted_to_the_last_digit(tracked, server, capsys, tmp_path, beats):
    folder, records, _ = tracked
    run_predict(capsys, folder, records / "s001", "--beats", beats, "--output", tmp_path)
    expected = pd.read_csv(tmp_path / "s001.csv", keep_default_na=False, dtype=str)
    record, _ = read_single(records / "s001", annotator="atr")
    row = {
        "signal_mv": record.signals_mv[:, record.lead_names.index("MLII")].tolist(),
        "fs_hz": record.fs_hz,
        "lead": "MLII",
    }
    if beats == "reference":
        row["r_peaks"] = record.beat_samples.tolist()
    found = pd.DataFrame(post(server, [row]))
    assert set(found["record"]) == {0}
    assert len(found) > 20
    for name in found.columns.drop("record"):
        given = ["" if pd.isna(value) else value for value in found[name]]
        served = [f"{value:.9g}" if isinstance(value, float) else str(value) for value in given]
        assert served == expected[name].tolist(), name


@pytest.mark.slow
def test_server_answers_an_unusable_signal_with_one_line(server):
    row = {"signal_mv": [0.0] * 999, "fs_hz": 360.0, "lead": "II"}
    assert "lead=II: the model needs MLII; use lead=MLII" in post(server, [row], code=400)


@pytest.mark.slow
def test_beats_are_searched_for_where_none_are_annotated(tracked, capsys, tmp_path):
    folder, records, _ = tracked
    bare = tmp_path / "bare"
    bare.mkdir()
    for suffix in ("hea", "dat"):
        shutil.copy(records / f"s001.{suffix}", bare)
    said = run_predict(capsys, folder, bare / "s001", "--output", tmp_path / "alone")
    assert "agreement with" not in said.out
    searched = run_predict(
        capsys, folder, records / "s001", "--beats", "detector", "--output", tmp_path / "compared"
    )
    assert "detector against the reference" in searched.out
    alone, compared = (pd.read_csv(tmp_path / name / "s001.csv") for name in ("alone", "compared"))
    pd.testing.assert_frame_equal(
        alone.drop(columns="reference"), compared.drop(columns="reference")
    )
    assert alone["reference"].isna().all()
    assert compared["reference"].notna().mean() > 0.95


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Virtual patients: the records s001 to s005, the last one without MLII."""
    folder = tmp_path_factory.mktemp("virtual")
    write_database(folder, num_patients=3, minutes=0.5, seed=0)
    copy = folder.parent / "copy"
    copy.mkdir(exist_ok=True)
    for suffix in ("dat", "atr"):
        shutil.copy(folder / f"s001.{suffix}", copy / f"x1.{suffix}")
    (copy / "x1.hea").write_text((folder / "s001.hea").read_text().replace("s001", "x1"))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's folder with an untrained model, and all that a run says of itself."""
    from ecgexp.features.inputs import SignalFeatures, feature_shapes
    from ecgexp.models.classifier import Classifier
    from ecgexp.models.cnn1d import Cnn1d
    from ecgexp.models.preprocessing import ModelPreprocessing
    from ecgexp.models.saved_classifier import save_classifier

    folder = tmp_path_factory.mktemp("made")
    builder, features = Cnn1d(filters=(4, 4), kernel_sizes=(3, 3), dense_units=4), SignalFeatures()
    shapes = feature_shapes(features.transform(np.zeros((1, 180, 1), np.float32), None))
    classifier = Classifier(
        builder=builder,
        preprocessing=ModelPreprocessing(records=Preprocessing(), features=features),
        weights=builder.build(shapes, 2).get_weights(),
        class_names=("N", "V"),
        database="mitdb 1.0.0",
    )
    save_classifier(classifier, folder / "model")
    params = {
        "grouping.classes.N": '["N", "L", "R"]',
        "grouping.classes.V": '["V"]',
    }
    run = {
        "run_id": None,
        "status": "FINISHED",
        "params": params,
        "tags": {"mlflow.runName": "made"},
        "datasets": [],
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def spoiled(made, tmp_path):
    """(**changes to run.json) -> a copy of the run."""

    def go(**changes):
        copy = tmp_path / "spoiled"
        shutil.copytree(made, copy)
        run = json.loads((copy / "run.json").read_text())
        for name, value in changes.items():
            run[name] = value(run[name])
        (copy / "run.json").write_text(json.dumps(run))
        return copy

    return go


def test_by_default_files_go_to_predictions_here_and_are_not_replaced(
    made, records, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_predict(capsys, made, records / "s001")
    first = contents(tmp_path)
    ends = ("csv", "ecgexp", "summary.png", "summary.txt")
    assert sorted(map(str, first)) == [f"predictions/s001.{end}" for end in ends]
    assert "use --overwrite" in refused(capsys, made, records / "s001", code=2)
    assert contents(tmp_path) == first
    run_predict(capsys, made, records / "s001", "--overwrite")
    assert contents(tmp_path) == first


def test_a_model_of_real_data_is_not_called_synthetic(made, records, capsys, tmp_path):
    said = run_predict(capsys, made, records / "s001", "--output", tmp_path / "out")
    assert "SYNTHETIC" not in said.err
    assert "trained on mitdb 1.0.0" in said.out


def test_own_recordings_without_holdout_beats_are_noted(spoiled, records, capsys, tmp_path):
    """The agreement on a run's own training records is not shown as one on new patients."""
    own = {"dataset.path": str(records), "split._target_": "ecgexp.data.InterPatient"}
    run, output = spoiled(params=lambda params: params | own), tmp_path / "out"
    beats = {"record": ["s001"], "patient": ["p001"], "sample": [9], "class": ["N"]}
    beats |= {"predicted": ["N"], "probability/N": [0.9], "probability/V": [0.1]}
    (run / "predictions").mkdir()
    for split, name in (("validation", "s002"), ("test", "s001")):
        table = pd.DataFrame(beats | {"record": [name]})
        table.to_parquet(run / "predictions" / f"{split}.parquet")
    names = [records / name for name in ("s001", "s002", "s003", "s004")]
    said = run_predict(capsys, run, *names, "--output", output).out
    text = " ".join(said.split())
    assert "2 of 4 records are of the run's own recordings" in text
    assert "(s003, s004): the model may have been trained on them" in text
    assert "1 of 4 records is one of the run's validation records (s002)" in text


def test_a_record_without_the_models_lead_is_refused_and_leaves_nothing(
    made, records, capsys, tmp_path
):
    line = refused(capsys, made, records / "s005", "--output", tmp_path / "out", code=2)
    assert "record s005 has the leads V5, V2, but not MLII" in line
    assert not (tmp_path / "out").exists()


def test_a_lead_under_another_name_is_read_with_a_note(made, records, capsys, tmp_path):
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for suffix in ("dat", "atr"):
        shutil.copy(records / f"s001.{suffix}", renamed)
    header = (records / "s001.hea").read_text()
    (renamed / "s001.hea").write_text(header.replace("MLII", "II"))
    said = run_predict(
        capsys, made, renamed / "s001", "--lead", "MLII=II", "--output", tmp_path / "alias"
    )
    assert "s001: lead II of the record is used as MLII of the model" in said.out
    run_predict(capsys, made, records / "s001", "--output", tmp_path / "own")
    alias, own = contents(tmp_path / "alias"), contents(tmp_path / "own")
    summaries = [found.pop(Path("s001.summary.txt")) for found in (alias, own)]
    assert alias == own
    # The last line is the digest of the files, of which the headers differ.
    texts = [text.decode().splitlines() for text in summaries]
    assert texts[0][:-1] == texts[1][:-1]
    assert texts[0][-1] != texts[1][-1]


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("MLI=V1", "--lead MLI=V1: the model has no lead MLI; use MLII"),
        ("MLII=II", "s001 has the leads MLII, V1, but not II, which the model needs"),
    ],
)
def test_a_lead_that_is_not_there_is_one_line(made, records, capsys, tmp_path, alias, words):
    out = ("--output", tmp_path / "out")
    assert words in refused(capsys, made, records / "s001", "--lead", alias, *out, code=2)


def test_edf_is_annotated_as_its_wfdb_record(made, records, capsys, tmp_path):
    record, _ = read_single(records / "s001", annotator="atr")
    lead_mv = record.signals_mv[: 20 * 360, record.lead_names.index("MLII")]
    signal = {"digital": np.round(lead_mv * 1000).astype(int), "samples": 360, "label": "MLII"}
    folder, beats = tmp_path / "holter", record.samples < len(lead_mv)
    folder.mkdir()
    (folder / "x.edf").write_bytes(edf_file([signal]))
    run_predict(capsys, made, records / "s001", "--output", tmp_path / "wfdb")
    # Without annotations beats are searched for.
    said = run_predict(capsys, made, folder / "x.edf", "--output", tmp_path / "found")
    assert "detector" in said.out
    line = refused(
        *(capsys, made, folder / "x", "--beats=reference", "--output", tmp_path / "none"), code=2
    )
    assert "--beats detector" in line
    labels = {"sample": record.samples[beats], "symbol": record.symbols[beats]}
    pd.DataFrame(labels).to_csv(folder / "x.csv", index=False)
    before = contents(folder)
    assert "in a folder of records" in refused(
        *(capsys, made, folder / "x", "--output", folder, "--overwrite"), code=2
    )
    run_predict(capsys, made, folder, "--output", tmp_path / "out")
    assert contents(folder) == before
    one, other = (pd.read_csv(tmp_path / name) for name in ("out/x.csv", "wfdb/s001.csv"))
    same = one.merge(other, on="sample", suffixes=("", "_wfdb")).iloc[1:-1]
    assert len(same) > 10
    assert same["reference"].tolist() == same["reference_wfdb"].tolist()
    np.testing.assert_allclose(same["probability/N"], same["probability/N_wfdb"], atol=0.01)


def test_csv_is_annotated_as_its_wfdb_record(made, records, capsys, tmp_path):
    record, _ = read_single(records / "s001", annotator="atr")
    folder, kept = tmp_path / "holter", record.samples < 20 * 360
    folder.mkdir()
    table = pd.DataFrame(record.signals_mv[: 20 * 360], columns=list(record.lead_names))
    table.to_csv(folder / "x.csv", index=False)
    out = ("--output", tmp_path / "out")
    line = refused(capsys, made, folder / "x.csv", *out, code=2)
    assert "state its frequency by dataset.recorded_hz=" in line
    line = refused(capsys, made, folder / "x.csv", "dataset.leads=[II]", *out, code=2)
    assert "use one of dataset.recorded_hz=" in line
    stated = ("dataset.recorded_hz=360", "dataset.units=mV")
    assert "detector" in run_predict(capsys, made, folder / "x.csv", *stated, *out).out
    line = refused(capsys, made, folder / "x", *stated, "--beats=reference", *out, code=2)
    assert "x_annotations.csv; use --beats detector" in line
    labels = {"sample": record.samples[kept], "symbol": record.symbols[kept]}
    pd.DataFrame(labels).to_csv(folder / "x_annotations.csv", index=False)
    before = contents(folder)
    written = ("--output", folder, "--overwrite")
    line = refused(capsys, made, folder, *stated, *written, code=2)
    assert "in a folder of records" in line
    run_predict(capsys, made, folder, *stated, *out, "--overwrite")
    assert contents(folder) == before
    run_predict(capsys, made, records / "s001", "--output", tmp_path / "wfdb")
    one, other = (pd.read_csv(tmp_path / name) for name in ("out/x.csv", "wfdb/s001.csv"))
    same = one.merge(other, on="sample", suffixes=("", "_wfdb")).iloc[1:-1]
    assert len(same) > 10
    assert same["reference"].tolist() == same["reference_wfdb"].tolist()
    np.testing.assert_allclose(same["probability/N"], same["probability/N_wfdb"], atol=0.01)


def test_an_empty_record_is_refused(made, capsys, tmp_path):
    (tmp_path / "e.hea").write_text("e 1 360 0\ne.dat 16 200 16 0 0 0 0 MLII\n")
    (tmp_path / "e.dat").write_bytes(b"")
    line = refused(capsys, made, tmp_path / "e", "--output", tmp_path / "out", code=2)
    assert "states a length of 0 samples" in line


def test_a_folder_is_annotated_without_a_record_that_cannot_be_read(
    made, records, capsys, tmp_path
):
    folder = tmp_path / "records"
    shutil.copytree(records, folder)
    (folder / "RECORDS").unlink(missing_ok=True)
    names = sorted(path.stem for path in folder.glob("*.hea"))
    (folder / f"{names[0]}.dat").write_bytes(b"")
    output = tmp_path / "out"
    assert names[0] in refused(capsys, made, folder, "--output", output, code=2)
    text = run_predict(capsys, made, folder, "--output", output, "--on-error", "skip").out
    assert f"{names[0]}: not annotated: " in text
    assert f"{names[-1]}: not annotated: " in text  # it has no lead MLII
    assert sorted(path.stem for path in output.glob("*.csv")) == names[1:-1]


def test_a_run_without_a_model_says_which_run_to_give(spoiled, records, capsys, tmp_path):
    folder = spoiled(status=lambda _: "FAILED")
    shutil.rmtree(folder / "model")
    line = refused(capsys, folder, records / "s001", "--output", tmp_path / "out", code=2)
    assert "run made (" in line
    assert "FAILED) has no model; use a run with the status FINISHED" in line


def test_run_without_its_grouping_is_refused(spoiled, records, capsys, tmp_path):
    name = "grouping.classes.V"
    folder = spoiled(params=lambda kept: {key: value for key, value in kept.items() if key != name})
    line = refused(capsys, folder, records / "s001", "--output", tmp_path / "out", code=2)
    assert f"run made has no parameter {name}" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_one_line(made, records, capsys, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    line = refused(capsys, made, records / "s001", "--output", tmp_path / "closed" / "out", code=2)
    assert "--output" in line


def test_a_folder_that_is_no_run_is_refused(records, capsys, tmp_path):
    line = refused(capsys, tmp_path, records / "s001", "--output", tmp_path / "out", code=2)
    assert "not the folder of a run" in line


def test_a_run_that_is_nowhere_is_refused(records, capsys, tmp_path):
    store = f"sqlite:///{tmp_path}/none.db"
    line = refused(
        capsys, "0" * 32, "--store", store, records / "s001", "--output", tmp_path / "out", code=2
    )
    assert "there are no runs" in line
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{records}/s009"], 2, "s009 was not found: there is no s009.hea"),
        (["{records}/s0.9"], 2, "is refused: only letters, digits"),
        (
            ["{records}/s001", "--beats=reference", "--annotator=qrs"],
            2,
            "s001.qrs; use --beats detector, or --annotator",
        ),
        (["{records}/s001", "--annotator=../atr"], 2, "the annotator '../atr' is refused"),
        (["{records}/s001", "--extension=atr"], 2, "the extension 'atr' is refused"),
        (["{records}/s001", "{records}/s001.hea"], 2, "two records are called s001"),
        (
            ["{records}/s001", "{records}/../copy/x1"],
            2,
            "copy/x1 hold the same signal and would be counted twice",
        ),
        (["{records}/s001", "--output={records}"], 2, "in a folder of records"),
        (
            ["{records}/s001", "--output={records}/predictions", "--overwrite"],
            2,
            "in a folder of records",
        ),
        (["{records}/s001", "--beats=both"], 2, "argument --beats: invalid choice: 'both'"),
        (["{records}/s001", "--lead=MLII"], 2, "'MLII' is not a list like MLII=II"),
        ([], 2, "the following arguments are required: RECORD"),
    ],
)
def test_a_bad_argument_is_one_line_before_the_run_is_looked_at(
    records, capsys, arguments, code, words
):
    before = contents(records)
    filled = [argument.format(records=records) for argument in arguments]
    assert words in refused(capsys, "nowhere", *filled, code=code)
    assert contents(records) == before


def test_a_run_must_be_given(capsys):
    assert "the following arguments are required: RUN, RECORD" in refused(capsys, code=2)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ecgexp.cli import predict;"
        "assert not {'wfdb', 'scipy', 'tensorflow', 'mlflow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
