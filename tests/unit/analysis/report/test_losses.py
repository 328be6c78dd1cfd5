"""What all runs of a store lost together, whether the page is about them or not."""

import json
from dataclasses import replace

import pytest
from finished_runs import CENTRALIZED, failed, finished, pointer

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.report import losses as module
from ecgexp.analysis.report.losses import together
from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.recorded_losses import Loss, Losses
from ecgexp.privacy.search_accounting import compose_epsilon
from ecgexp.privacy.spent import PrivacySpent

PRIVATE = {"privacy._target_": "ecgexp.privacy.PrivacySpec"}
DATABASE = "mitdb 1.0.0"
EVENT = stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(0.01, 1.0), 100))
SPENT = PrivacySpent(
    event=EVENT,
    delta=1e-5,
    unit="beat",
    neighboring_relation="add_or_remove_one",
    accountant="pld",
    has_privacy_guarantee=True,
)
KEPT = {
    "guarantee": True,
    "simulation": False,
    "statement": "ε",
    "epsilon": 0.5,
    "event": EVENT,
    "delta": 1e-5,
    "unit": "beat",
    "neighboring_relation": "add_or_remove_one",
    "accountant": "pld",
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store's runs and record, without the store."""
    kept = []
    monkeypatch.setattr(module, "search_runs", lambda **_: kept)
    return kept


@pytest.fixture
def ask(tmp_path, store):
    return lambda *runs: together(runs or store, uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def record(tmp_path):
    return Losses(tmp_path / "mlflow.db.private")


def run(folder, *, params=PRIVATE, privacy=KEPT, database=DATABASE, **more):
    return find_run(
        str(finished(folder, params=params, privacy=privacy, database=database, **more))
    )


def loss(run_dir, *, training_population=("database mitdb",), **changes):
    return Loss(
        run_dir=str(run_dir),
        name="run",
        training_population=frozenset(training_population),
        **({"spent": SPENT} | changes),
    )


def says(texts, all_spent):
    (text,) = texts
    return f"ε = {compose_epsilon(all_spent):.4g}"[:7] in text


def test_store_counts_runs_that_are_not_on_the_page(tmp_path, store, record, ask):
    store.append(run(tmp_path / "a"))
    record.begin(loss(store[0].run_id, run_id=store[0].run_id), resumes=False).finish(EVENT)
    record.begin(loss("deleted"), resumes=False)
    texts = ask()
    assert says(texts, [SPENT] * 2)
    assert "all 2 private runs" in texts[0]
    assert "did not finish, 1 of them" in texts[0]


def test_store_counts_runs_that_have_no_record(tmp_path, store, ask):
    store += [run(tmp_path / "a"), run(tmp_path / "b")]
    assert says(ask(store[0]), [SPENT] * 2)


def test_store_counts_a_folder_finished_twice_as_two(tmp_path, store, record, ask):
    """Both ended as one run of MLflow, which shows one."""
    store.append(run(tmp_path / "a"))
    for folder in ("a", "copy"):
        record.begin(loss(folder, run_id=store[0].run_id), resumes=True).finish(EVENT)
    assert says(ask(), [SPENT] * 2)


def test_store_counts_run_of_another_machine_in_equal_folder(tmp_path, store, record, ask):
    mine = run(tmp_path / "a")
    mine = replace(mine, tags={**mine.tags, "run.dir": "/out/run"})
    store += [mine, replace(mine, run_id="theirs")]
    record.begin(loss("/out/run", run_id=mine.run_id), resumes=False).finish(EVENT)
    assert says(ask(), [SPENT] * 2)


def test_run_that_had_no_id_is_found_by_its_folder(tmp_path, store, record, ask):
    mine = run(tmp_path / "a")
    store.append(replace(mine, tags={**mine.tags, "run.dir": "/out/run"}))
    record.begin(loss("/out/run"), resumes=False).finish(EVENT)
    assert says(ask(), [SPENT])


def test_private_run_that_kept_no_event_is_unknown(tmp_path, store, ask):
    store += [
        run(tmp_path / "a"),
        find_run(str(failed(tmp_path / "b", reason="killed", params=PRIVATE))),
    ]
    (text,) = ask()
    assert text.startswith("At least")
    assert "1 more run" in text


def test_damaged_record_is_unknown(tmp_path, store, record, ask):
    store.append(run(tmp_path / "a"))
    record.begin(loss("a"), resumes=False)
    (next(iter((tmp_path / "mlflow.db.private" / "losses").glob("*.json")))).write_text("{")
    assert ask()[0].startswith("At least")


def test_run_without_a_guarantee_leaves_no_bound(tmp_path, store, ask):
    store += [run(tmp_path / "a"), run(tmp_path / "b", params=CENTRALIZED, privacy=None)]
    assert "no bound at all" in ask()[0]


def test_runs_on_another_population_are_not_added(tmp_path, store, record, ask):
    store.append(run(tmp_path / "a"))
    record.begin(loss("b", training_population=("database svdb",)), resumes=False)
    assert says(ask(), [SPENT])


def test_store_without_private_runs_has_no_text(tmp_path, store, ask):
    store.append(run(tmp_path / "a", params=CENTRALIZED, privacy=None))
    assert ask() == []


def test_parents_of_sweeps_are_not_counted_as_runs(tmp_path, store, ask):
    store.append(run(tmp_path / "a"))
    store.append(replace(store[0], run_id="parent", tags={**store[0].tags, "sweep.role": "parent"}))
    assert says(ask(), [SPENT])


def test_folder_of_a_sweep_names_its_record(tmp_path):
    one = run(tmp_path / "now" / "0")
    private = tmp_path / "elsewhere"
    Losses(private).begin(loss("other"), resumes=False)
    (tmp_path / "now" / "sweep.json").write_text(json.dumps(pointer(private_dir=str(private))))
    assert says(together([one], folder=tmp_path / "now"), [SPENT] * 2)
