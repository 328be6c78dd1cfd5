"""`ecgexp dataset=mitdb_to_svdb split=cross_database`, from the command to what is said of a
record.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from preloaded import run
from start_line import after_start
from two_folders import MITDB_NAMES, SVDB_NAMES

from ecgexp.cli import predict

COMMAND = str(Path(sys.executable).parent / "ecgexp")
TWO = ["dataset=mitdb_to_svdb", "split=cross_database"]
SMALL = [
    "dataset.train.verify=header",
    f"dataset.train.records=[{','.join(MITDB_NAMES)}]",
    f"dataset.test.records=[{','.join(SVDB_NAMES[:2])}]",
    "grouping=aami5",
    "grouping.empty_class=drop",
    "features=signal_rr",
    "trainer.epochs=2",
    "model.filters=[8,8]",
    "model.kernel_sizes=[5,3]",
    "model.dense_units=8",
    "num_resamples=20",
    "tracking=none",
]


def ecgexp(*words, cwd, **environment):
    return subprocess.run(
        [COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(("there", "absent"), [("mitdb", ["svdb"]), ("", ["mitdb", "svdb"])])
def test_an_absent_database_is_one_line_with_the_command_and_code_2_before_tensorflow(
    tmp_path, data_root, there, absent
):
    if there:
        os.symlink(data_root / there, tmp_path / there)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "tensorflow.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()\n")
    path = os.pathsep.join([str(trap), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = ecgexp(*TWO, f"data.root={tmp_path}", "tracking=none", cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 2, done.stderr
    error = after_start(done.stderr)
    assert error.count("\n") == 1
    assert error.startswith("ecgexp: ")
    for name in ("mitdb", "svdb"):
        assert (f"ecgexp-fetch {name}" in done.stderr) is (name in absent)
    assert not (tmp_path / "loaded").exists()
    subprocess.run(
        [sys.executable, "-c", "import tensorflow"],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
    )
    assert (tmp_path / "loaded").exists(), "the trap would not have caught it"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (TWO[:1], "split=cross_database"),
        (TWO[1:], "dataset=mitdb_to_svdb, dataset=folder_to_folder"),
    ],
)
def test_a_dataset_and_a_split_that_do_not_suit_are_refused_with_what_to_type(
    tmp_path, data_root, words, advice
):
    done = ecgexp(*words, f"data.root={data_root}", "tracking=none", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert after_start(done.stderr).count("\n") == 1
    assert f"use {advice}" in done.stderr


@pytest.fixture(scope="module")
def finished(data_root, tmp_path_factory):
    """The folder of a small run on the fake databases."""
    place = tmp_path_factory.mktemp("run")
    folder = place / "out"
    done = run(
        *TWO,
        *SMALL,
        f"data.root={data_root}",
        f"data.cache_dir={place}",
        f"hydra.run.dir={folder}",
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    assert "mitdb 1.0.0 -> svdb 1.0.0 · test" in done.stdout
    return folder


@pytest.mark.slow
def test_the_run_learns_from_one_and_is_tested_on_the_other(finished):
    data = json.loads((finished / "result.json").read_text())["data"]
    assert data["database"] == "mitdb 1.0.0 -> svdb 1.0.0"
    assert data["patients"] == {"train": 5, "validation": 1, "test": 2}
    tested = pd.read_parquet(finished / "predictions/test.parquet")
    chosen_by = pd.read_parquet(finished / "predictions/validation.parquet")
    assert set(tested["record"]) == {"svdb/800", "svdb/801"}
    assert set(chosen_by["patient"]) < {f"mitdb/{name}" for name in MITDB_NAMES}
    assert len(tested) == sum(data["beats"]["test"].values())
    assert {
        reason.split(":")[0] for reason in data["dropped"] if not reason.startswith("symbol")
    } == {"mitdb", "svdb"}
    assert set(pd.read_csv(finished / "tables/test_per_record.csv")["record"]) == {
        "svdb/800",
        "svdb/801",
    }
    stored = json.loads((finished / "model/preprocessing.json").read_text())
    assert stored["leads"] == ["MLII"]
    assert stored["other_databases"]["svdb 1.0.0"]["leads"] == ["ECG1"]


@pytest.mark.slow
def test_record_of_either_database_is_predicted_as_by_the_run(
    finished, data_root, tmp_path, capsys
):
    """Each by its own lead: svdb has no MLII, mitdb no ECG1.

    Only beats of mitdb may have been learned.
    """
    records = [data_root / "svdb/800", data_root / "svdb/801", data_root / "mitdb/100"]
    assert predict.main([str(finished), *map(str, records), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    own = pd.read_parquet(finished / "predictions/test.parquet")
    found = pd.concat(
        pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False).assign(record=f"svdb/{name}")
        for name in ("800", "801")
    )
    both = own.merge(found, on=["record", "sample"], suffixes=("_run", ""))
    assert len(both) == len(own)
    for name in [column for column in own if column.startswith("probability/")]:
        np.testing.assert_allclose(both[name].astype(float), both[f"{name}_run"], atol=1e-5)
    assert "800: resampled from 128 to the model's 360 Hz" in said
    assert "100: the run was not tested on" in said
    assert "800: the run was not tested on" not in said
    assert "trained on mitdb 1.0.0 -> svdb 1.0.0" not in said
    assert "trained on mitdb 1.0.0" in said
