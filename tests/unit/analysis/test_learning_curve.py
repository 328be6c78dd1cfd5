"""A learning curve has the runs that differ in patients and seed only, and never test scores."""

import json
import math

import numpy as np
import pytest
from finished_runs import CENTRALIZED, COMMON, finished

from ecgexp.analysis.learning_curve import words
from ecgexp.analysis.learning_curve.curve import learning_curve
from ecgexp.analysis.learning_curve.siblings import patients_needed
from ecgexp.cli import inspect
from ecgexp.settings.declaration import DataError

SIZES, SEEDS = (2, 4, 8, 16), range(5)


def score(patients, seed):
    return 0.8 - 0.6 / patients + 0.01 * (seed - 2)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = {**COMMON, **CENTRALIZED, "split.num_train_patients": None}
    command = "ecgexp 'dataset.leads=[II]' seed=3 hydra.run.dir=x"
    for patients in SIZES:
        for seed in SEEDS:
            finished(
                tmp_path / "sweep" / f"{patients}_{seed}",
                params={**params, "split.num_train_patients": patients},
                seed=seed,
                metrics={"validation/macro_f1": score(patients, seed), "test/macro_f1": 0.123},
                tags={"command": command},
            )
    other = {**params, "split.num_train_patients": 2, "trainer.learning_rate": 0.5}
    finished(tmp_path / "sweep" / "z", params=other, metrics={"validation/macro_f1": 0.99})
    return tmp_path / "sweep"


def test_curve_has_the_runs_that_differ_in_patients_and_seed(runs, capsys):
    assert inspect.main([str(runs / "4_1"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_runs"], found["patients_of_scores"]) == (20, "validation")
    assert found["command"] is None
    assert [one["training_patients"] for one in found["points"]] == list(SIZES)
    for one in found["points"]:
        expected = [score(one["training_patients"], seed) for seed in SEEDS]
        np.testing.assert_allclose(one["scores"], expected)
        # 2.776: the t quantile of 4 degrees of freedom, from a table.
        half = 2.7764451 * np.std(expected, ddof=1) / math.sqrt(5)
        np.testing.assert_allclose(np.diff(one["interval"]), 2 * half, rtol=1e-6)
    assert "0.123" not in json.dumps(found)
    np.testing.assert_allclose(found["gain"]["mean"], 0.6 / 16, atol=1e-9)
    assert "still rises" in found["answer"]
    more = found["extrapolation"]
    assert more["training_patients"] == 32
    assert more["score"] == pytest.approx(0.8 - 0.6 / 32, abs=2e-3)
    assert more["interval"][0] < more["score"] < more["interval"][1]


def test_one_run_names_the_sweep_that_makes_the_curve(runs, capsys):
    for folder in runs.iterdir():
        if folder.name != "16_3":
            (folder / "run.json").unlink()
    assert inspect.main([str(runs / "16_3"), "--output", "curve.html"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "do not say whether more patients would help" in said
    sweep = "ecgexp -m 'dataset.leads=[II]' split.num_train_patients=2,4,8,16 seed=0,1,2,3,4"
    assert sweep in said
    assert "evaluate_on=[validation]" in said


def test_page_shows_the_curve_and_labels_the_extrapolation(runs, capsys):
    page = runs.parent / "curve.html"
    assert inspect.main([str(runs / "4_1"), "--output", str(page)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "extrapolation to 32 training patients by a power law" in said
    text = page.read_text()
    assert "<svg" in text
    assert "Dashed: extrapolation." in text
    assert inspect.main([str(runs / "4_1"), "--output", str(page), "--overwrite"]) == 0


def test_run_whose_split_divides_no_patients_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from ecgexp.analysis.find_runs import find_run

    folder = finished(tmp_path / "run", params={**COMMON, **CENTRALIZED})
    with pytest.raises(DataError, match=r"use a run with split=inter_patient or"):
        patients_needed(find_run(str(folder)))


@pytest.mark.parametrize(("scores", "sizes"), [({}, []), ({(2, "0"): math.nan}, [])])
def test_curve_without_scores_has_no_points(scores, sizes):
    curve = learning_curve(scores)
    assert [point.patients for point in curve.points] == sizes
    assert curve.gain is None
    assert curve.extrapolation is None


def test_few_seeds_have_no_interval_and_few_sizes_no_extrapolation():
    curve = learning_curve({(n, seed): 0.5 for n in (2, 4, 8, 16) for seed in ("0", "1")})
    assert all(point.interval is None for point in curve.points)
    assert curve.extrapolation is None
    assert curve.gain == (0.0, None)
    three = learning_curve({(n, seed): 0.5 for n in (2, 4, 8) for seed in ("0", "1", "2")})
    assert three.extrapolation is None
    assert words.interval_text(three.points[0].interval) == "0.500 to 0.500"
