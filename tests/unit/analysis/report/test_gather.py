import json
import shutil

import pytest
from finished_runs import CENTRALIZED, failed, finished, guarantee, pointer, private

from ecgexp.analysis.find_runs import PARENT_TAG, find_run
from ecgexp.analysis.report import gather as gathering
from ecgexp.analysis.report.gather import choose, gather
from ecgexp.settings.declaration import DataError


def test_runs_of_a_sweep_folder_are_in_order_of_numbers(tmp_path):
    for number in ("10", "9", "2"):
        finished(tmp_path / number, params=CENTRALIZED)
    assert [run.name for run in choose(parent=str(tmp_path)).runs] == ["2", "9", "10"]


@pytest.mark.parametrize(
    ("how", "tags"),
    [("copy", {"run.dir": "made/0"}), ("link", {"run.dir": "made/0"}), ("link", {})],
)
def test_run_in_two_folders_is_refused(tmp_path, how, tags):
    made = finished(tmp_path / "0", params=CENTRALIZED, tags=tags)
    finished(tmp_path / "1", params=CENTRALIZED, seed=1)
    choose(parent=str(tmp_path))
    if how == "link":
        (tmp_path / "2").symlink_to(made)
    else:
        shutil.copytree(made, tmp_path / "2")
    with pytest.raises(
        DataError, match=rf"0 and 2 in {tmp_path} hold the same run; remove one of them"
    ):
        choose(parent=str(tmp_path))


def test_sweep_folder_gives_the_texts_of_its_parent_run(tmp_path):
    finished(
        tmp_path / "home" / "parent",
        params={},
        tags={"command": "ecgexp -m seed=1,2", "sweep.overrides": "seed=1,2"},
    )
    (tmp_path / "home" / "parent" / "sweep_privacy.txt").write_text("Privacy loss of all: ε = 9.\n")
    finished(tmp_path / "now" / "0", params=CENTRALIZED)
    (tmp_path / "now" / "sweep.json").write_text(json.dumps(pointer(home=str(tmp_path / "home"))))
    assert gather(choose(parent=str(tmp_path / "now"))).sweep == {
        "command": "ecgexp -m seed=1,2",
        "overrides": "seed=1,2",
        "privacy": "Privacy loss of all: ε = 9.",
    }


def test_title_is_the_name_of_the_sweep(tmp_path):
    finished(tmp_path / "home" / "parent", params={}, name="lr=1,2 seed=1,2")
    finished(tmp_path / "now" / "0", params=CENTRALIZED)
    assert choose(parent=str(tmp_path / "now")).title == "now"
    (tmp_path / "now" / "sweep.json").write_text(json.dumps(pointer(home=str(tmp_path / "home"))))
    assert choose(parent=str(tmp_path / "now")).title == "lr=1,2 seed=1,2"


def test_folder_of_a_single_run_is_one_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # without a store
    found = gather(choose(parent=str(finished(tmp_path / "0", params=CENTRALIZED, name="alone"))))
    assert (found.title, [row.name for row in found.rows]) == ("alone", ["alone"])


def test_parent_without_children_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "children_of", lambda run, uri: [])
    parent = finished(tmp_path / "parent", params={}, tags={"sweep.role": "parent"})
    with pytest.raises(DataError, match="use the folder of the sweep, or --experiment NAME"):
        choose(parent=str(parent))


def test_runs_that_did_not_finish_have_their_reasons(tmp_path):
    finished(tmp_path / "0", params=CENTRALIZED)
    failed(tmp_path / "1", reason="DataError: training diverged")
    (finished(tmp_path / "2", params=CENTRALIZED) / "result.json").write_text("{")
    running = finished(tmp_path / "3", params=CENTRALIZED)
    run = json.loads((running / "run.json").read_text())
    (running / "run.json").write_text(json.dumps(run | {"status": "RUNNING"}))
    found = gather(choose(parent=str(tmp_path)))
    assert [one.name for one in found.rows] == ["0"]
    assert [(one.name, one.status) for one in found.failures] == [
        ("a failed run", "FAILED"),
        ("2", "unreadable"),
        ("3", "RUNNING"),
    ]
    reasons = [one.reason for one in found.failures]
    assert reasons[0] == "DataError: training diverged"
    assert "result.json" in reasons[1]
    assert reasons[2] == "the run has not ended"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store's runs without the store: {experiment: runs}."""
    kept = {}

    def search(*, experiment=None, filter_string="", uri=None):
        return [run for name, runs in kept.items() if experiment in (None, name) for run in runs]

    monkeypatch.setattr(gathering, "search_runs", search)
    return kept


def in_store(folder, experiment, started, **more):
    from dataclasses import replace

    run = find_run(str(finished(folder, params={**CENTRALIZED, "seed": 0}, **more)))
    return replace(run, started=started, experiment=experiment)


def test_report_by_default_has_experiment_of_the_newest_run(tmp_path, store):
    store["old"] = [in_store(tmp_path / "a", "old", 1.0), in_store(tmp_path / "c", "old", 3.0)]
    store["new"] = [in_store(tmp_path / "b", "new", 2.0)]
    assert choose().title == "experiment old"
    store["new"].append(in_store(tmp_path / "d", "new", 4.0))
    selected = choose()
    assert selected.title == "experiment new"
    assert [run.name for run in selected.runs] == ["b", "d"]


def test_parents_of_sweeps_are_not_among_the_runs(tmp_path, store):
    parent = in_store(tmp_path / "p", "e", 1.0)
    child = in_store(tmp_path / "c", "e", 2.0, tags={PARENT_TAG: parent.run_id})
    other = in_store(tmp_path / "q", "e", 3.0, tags={"sweep.role": "parent"})
    store["e"] = [parent, child, other]
    assert [run.name for run in choose(experiment="e").runs] == ["c"]


@pytest.mark.parametrize("how", [{}, {"experiment": "e"}, {"filter_string": "params.a = 'b'"}])
def test_report_without_runs_is_an_error(store, how):
    store["e"] = []
    with pytest.raises(DataError, match="there is no run to report"):
        choose(**how)


def test_databases_and_digests_are_shown_once(tmp_path):
    finished(tmp_path / "0", params=CENTRALIZED, database="mitdb 1.0.0", digest="b")
    finished(
        tmp_path / "1",
        params=private(1.0),
        database="mitdb 1.0.0",
        digest="a",
        privacy=guarantee(1.0),
    )
    finished(tmp_path / "2", params=CENTRALIZED, seed=1)
    found = gather(choose(parent=str(tmp_path)))
    assert found.digests == {
        "mitdb 1.0.0": ["a", "b"],
        "synthetic (virtual patients, seed 0)": ["d1"],
    }


def test_debug_runs_are_listed_without_scores(tmp_path):
    finished(tmp_path / "0", params=CENTRALIZED)
    finished(tmp_path / "1", params=CENTRALIZED, tags={"debug": "smoke"}, seed=1)
    found = gather(choose(parent=str(tmp_path)))
    assert [row.name for row in found.rows] == ["0"]
    assert [(one.name, one.reason) for one in found.failures] == [
        ("1", "debug=smoke: scores mean nothing")
    ]


def test_report_of_debug_runs_says_so_in_its_title(tmp_path):
    finished(tmp_path / "0", params=CENTRALIZED, tags={"debug": "smoke"})
    found = gather(choose(parent=str(tmp_path)))
    assert len(found.rows) == 1
    assert found.title.endswith("(debug=smoke: scores mean nothing)")
