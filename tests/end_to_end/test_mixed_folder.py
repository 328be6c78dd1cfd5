"""A folder of every layout and format is trained on, tested and annotated, by a command each."""

import json

import pandas as pd
import pytest
from mixed_folder import write_mixed_folder

from ecgexp.cli import predict
from ecgexp.config import load_experiment
from ecgexp.experiment.run import run

pytestmark = pytest.mark.slow
SETTINGS = [
    "dataset.leads=[II]",
    "dataset.symbols_from=aux_note_or_symbol",
    "grouping.empty_class=drop",
    "trainer=fit",
    "model=extra_trees",
    "model.num_trees=20",
    "features=handcrafted",
    "num_resamples=0",
    "tracking=none",
]


def test_mixed_folder_is_trained_on_tested_and_annotated(tmp_path, capsys):
    folder, place = tmp_path / "mixed", tmp_path / "run"
    made = {each.name: each for each in write_mixed_folder(folder, seconds=30)}
    paths = [f"dataset.path={folder}", f"dataset.patients={folder}/patients.csv"]
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    run(load_experiment(["dataset=folder", *SETTINGS, *paths, cache]), place)
    data = json.loads((place / "result.json").read_text())["data"]
    assert data["patients_are"] == "stated"
    assert sum(data["patients"].values()) == len({each.patient for each in made.values()})
    kept = sum(sum(part.values()) for part in data["beats"].values())
    left_out = {reason: number for reason, number in data["dropped"].items() if number}
    assert set(left_out) == {"window leaves the record", "signal missing in the window"}
    assert kept + sum(left_out.values()) == sum(len(each.beats) for each in made.values())

    output = tmp_path / "out"
    assert predict.main([str(place), str(folder), "--output", str(output), "--no-figure"]) == 0
    tested = pd.read_parquet(place / "predictions/test.parquet")
    found = pd.concat(
        pd.read_csv(output / f"{name.rpartition('/')[2]}.csv", keep_default_na=False).assign(
            record=name
        )
        for name in made
    )
    assert found.groupby("record").size().to_dict() == {
        name: len(each.beats) for name, each in made.items()
    }
    both = tested.merge(found, on=["record", "sample"], suffixes=("_run", ""))
    assert len(both) == len(tested)
    assert both["class"].tolist() == both["predicted"].tolist()
    assert both["reference"].tolist() == both["symbol_run"].tolist()
