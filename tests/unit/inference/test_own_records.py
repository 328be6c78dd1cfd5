"""Own recordings that the run read are noted, as far as its public outputs tell of them."""

import pytest

from ecgexp.inference.own_records import own_records


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "clinic"
    for name in ("ward1/p01_a", "ward1/p02_a", "ward2/p04_a", "ward2/p06_a"):
        path = folder / f"{name}.hea"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.stem} 1 360 720\n{path.stem}.dat 16 200 16 0 0 0 0 MLII\n")
    return folder


def notes(params, recordings, *names, validated=(), tested=(), whole=True):
    found = own_records(
        params,
        validated=frozenset(validated),
        tested=frozenset(tested),
        keeps_records_whole=whole,
    )
    return [] if found is None else list(found.notes([recordings / name for name in names]))


def test_own_records_without_holdout_are_named_in_one_line(recordings):
    lines = notes(
        {"dataset.path": str(recordings), "dataset.records": "None"},
        recordings,
        *("ward1/p01_a", "ward1/p02_a", "ward2/p04_a", "ward2/p06_a"),
        validated=["ward1/p02_a"],
        tested=["ward1/p01_a"],
    )
    assert len(lines) == 2
    assert lines[0].startswith("2 of 4 records are of the run's own recordings")
    assert "(p04_a, p06_a): the model may have been trained on them" in lines[0]
    assert lines[1].startswith("1 of 4 records is one of the run's validation records (p02_a)")


def test_own_records_of_a_split_by_beat_are_never_holdout(recordings):
    (line,) = notes(
        {"dataset.path": str(recordings)},
        recordings,
        "ward1/p01_a",
        tested=["ward1/p01_a"],
        validated=["ward1/p01_a"],
        whole=False,
    )
    assert "split by beat (p01_a)" in line


def test_own_records_that_were_not_read_are_not_noted(recordings, tmp_path):
    chosen = {"dataset.path": str(recordings), "dataset.records": ["ward1/p01_a"]}
    assert notes(chosen, recordings, "ward1/p02_a") == []
    assert len(notes(chosen, recordings, "ward1/p01_a")) == 1
    assert notes({"dataset.path": str(recordings)}, tmp_path / "other", "ward1/p01_a") == []
    assert notes({"dataset.path": str(tmp_path / "gone")}, recordings, "ward1/p01_a") == []
    assert notes({"dataset.path": "None"}, recordings, "ward1/p01_a") == []


@pytest.mark.parametrize("is_joined", [True, False])
def test_own_records_of_a_part_have_its_name(recordings, is_joined):
    part = {"path": str(recordings), "name": "None", "records": None}
    params = {f"dataset.train.{key}": value for key, value in part.items()}
    if is_joined:
        params = {"dataset.parts": [{"database": "mitdb"}, part]}
    names = ("ward1/p01_a", "ward1/p02_a")
    (line,) = notes(params, recordings, *names, tested=["clinic/ward1/p01_a", "x/ward1/p02_a"])
    assert "(p02_a)" in line
