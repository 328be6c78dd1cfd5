import json
import math

import numpy as np
import pytest
from finished_runs import CENTRALIZED, finished, guarantee, private

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.run_rows import read_row
from ecgexp.data.beats import patients_note
from ecgexp.settings.declaration import DataError

MATRIX = np.array(
    [[5, 1, 0, 0, 0], [2, 3, 0, 0, 0], [0, 0, 4, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
)


def test_row_matrix_is_that_of_the_stored_predictions(tmp_path):
    row = read_row(find_run(str(finished(tmp_path / "r", params=CENTRALIZED, confusion=MATRIX))))
    np.testing.assert_array_equal(row.confusion, MATRIX)
    assert row.patients == ("100",)
    assert row.classes == ("N", "S", "V", "F", "Q")


def test_row_matrices_are_those_of_each_patient(tmp_path):
    matrices = np.random.default_rng(0).integers(0, 9, (3, 5, 5))
    row = read_row(find_run(str(finished(tmp_path / "r", params=CENTRALIZED, confusion=matrices))))
    assert row.patients == ("100", "101", "102")
    np.testing.assert_array_equal(row.by_patient, matrices)


@pytest.mark.parametrize("known", ["assumed", "unknown"])
def test_database_of_a_row_says_how_patients_are_known(tmp_path, known):
    folder = finished(tmp_path / "r", params=CENTRALIZED, tags={"dataset.patients": known})
    assert patients_note(known) in read_row(find_run(str(folder))).database


def test_run_with_few_files_has_a_row(tmp_path):
    folder = finished(tmp_path / "r", params=CENTRALIZED)
    (folder / "result.json").unlink()
    row = read_row(find_run(str(folder)))
    assert (row.confusion, row.seconds, row.step, row.clients, row.privacy) == (
        None,
        None,
        None,
        [],
        None,
    )
    assert row.metrics["test/accuracy"] == 0.5
    assert row.database == "synthetic (virtual patients, seed 0)"


@pytest.mark.parametrize(
    ("privacy", "kind", "epsilon", "delta"),
    [
        (None, "none", math.inf, None),
        (guarantee(2.5), "private", 2.5, 1e-5),
        (guarantee(2.5, simulation=True), "simulation", 2.5, 1e-5),
        ({**guarantee(2.5), "epsilon": None}, "private", math.inf, 1e-5),
        ({**guarantee(2.5), "guarantee": False, "epsilon": None}, "none", math.inf, None),
    ],
)
def test_guarantee_of_a_run_is_read(tmp_path, privacy, kind, epsilon, delta):
    row = read_row(find_run(str(finished(tmp_path / "r", params=private(1.0), privacy=privacy))))
    assert (row.guarantee, row.epsilon) == (kind, epsilon)
    assert row.delta == delta if delta is not None else math.isnan(row.delta)


@pytest.mark.parametrize(
    "path", ["result.json", "predictions/test.parquet", "tables/test_per_client.csv"]
)
def test_row_of_a_damaged_file_is_an_error_with_its_name(tmp_path, path):
    clients = [
        {"client": "100", "beats": 9, "accuracy": 0.5, "macro_f1": 0.5, "majority_accuracy": 0.9}
    ]
    folder = finished(tmp_path / "r", params=CENTRALIZED, confusion=MATRIX, clients=clients)
    (folder / path).write_text("{ not what it was")
    with pytest.raises(DataError, match=rf"{path} is (damaged|not a table).*leave run 'r' out"):
        read_row(find_run(str(folder)))


def test_clients_named_like_numbers_keep_their_names(tmp_path):
    clients = [
        {"client": "007", "beats": 9, "accuracy": 0.5, "macro_f1": 0.5, "majority_accuracy": 0.9}
    ]
    folder = finished(tmp_path / "r", params=CENTRALIZED, clients=clients)
    assert [client["client"] for client in read_row(find_run(str(folder))).clients] == ["007"]


def test_row_has_reasons_of_undefined_scores(tmp_path):
    folder = finished(
        tmp_path / "r", params=CENTRALIZED, undefined={"test/jk_index": "no beat was predicted S"}
    )
    assert json.loads((folder / "result.json").read_text())["undefined"]
    assert read_row(find_run(str(folder))).undefined == {"test/jk_index": "no beat was predicted S"}
