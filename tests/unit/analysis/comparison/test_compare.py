"""The whole command on folders of runs, made by hand as a run leaves them."""

import io
import json
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from rich.text import Text

from ecgexp import console
from ecgexp.cli import compare
from ecgexp.console import Console, Stream

PATIENTS, BEATS = 6, 40
CLASSES = ("N", "S", "V")
SETTINGS = {
    "seed": 1,
    "trainer.learning_rate": 0.001,
    "selection.metric": "macro_f1",
    "tracking.uri": "here",
}
TAGS = {
    "dataset.name": "mitdb 1.0.0",
    "dataset.digest": "d1",
    "git.commit": "abc",
    "git.dirty": "false",
}


def predictions(*, right=lambda patient, place: place % 8 != 0, patients=PATIENTS, classes=CLASSES):
    """A table of predictions: the classes N, S, V in turn.

    A beat that is not right is taken for the next class.
    """
    patient, place = np.repeat(np.arange(patients), BEATS), np.tile(np.arange(BEATS), patients)
    label = place % 3
    said = np.where(right(patient, place), label, (label + 1) % 3)
    names = np.array(classes)
    table = pd.DataFrame(
        {
            "record": [f"{100 + i}" for i in patient],
            "patient": [f"p{i}" for i in patient],
            "sample": 300 * place + 77,
            "symbol": names[label],
            "class": names[label],
            "predicted": names[said],
        }
    )
    for i, name in enumerate(classes):
        table[f"probability/{name}"] = np.where(said == i, 0.8, 0.1)
    return table


def slightly_better(patient, place):
    """Right where the other is, and on one more beat of every patient."""
    return (place % 8 != 0) | (place == 8)


@pytest.fixture
def make_run(tmp_path):
    """Makes a run's folder and returns its path."""

    def make(
        name,
        table=None,
        *,
        settings=None,
        tags=None,
        metrics=None,
        split="test",
        status="FINISHED",
        **result,
    ):
        folder = tmp_path / name
        folder.mkdir()
        run = {
            "params": SETTINGS | (settings or {}),
            "tags": TAGS | (tags or {}),
            "datasets": [],
            "run_id": None,
            "status": status,
            "reason": None,
        }
        (folder / "run.json").write_text(json.dumps(run))
        line = {"time": 1.0, "step": None, "metrics": metrics or {}}
        (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        (folder / "result.json").write_text(
            json.dumps({"status": status, "metrics": metrics or {}, **result})
        )
        if table is not None:
            (folder / "predictions").mkdir()
            table.to_parquet(folder / "predictions" / f"{split}.parquet", index=False)
        return str(folder)

    return make


@pytest.fixture
def compare_command(tmp_path, capsys):
    """What the command prints, and what it writes as JSON."""

    def tell(*arguments, code=0):
        file = tmp_path / "all.json"
        assert (
            compare.main(
                [*arguments, "--num-resamples", "300", "--output", str(file), "--overwrite"]
            )
            == code
        )
        return " ".join(capsys.readouterr().out.split()), json.loads(file.read_text())

    return tell


def test_verdict_names_a_run_better_on_every_patient(make_run, compare_command):
    a = make_run("a", predictions())
    settings = {"trainer.learning_rate": 0.01, "tracking.uri": "there"}
    b = make_run("b", predictions(right=slightly_better), settings=settings)
    text, values = compare_command(a, b)
    scores = {row["key"]: row for row in values["scores"]}
    accuracy, macro_f1 = scores["accuracy"], scores["macro_f1"]
    assert (accuracy["a"], accuracy["b"]) == (35 / 40, 36 / 40)
    # Each patient gains exactly one beat in 40, so that every resample has the same difference.
    assert accuracy["interval"] == {"low": pytest.approx(1 / 40), "high": pytest.approx(1 / 40)}
    assert accuracy["leaves_zero_out"] is True
    assert values["verdict"].startswith(
        f"B is better in macro F1 by {macro_f1['difference']:.3f} ("
    )
    assert values["verdict"].endswith(", 6 patients).")
    assert text.endswith(values["verdict"])
    assert "accuracy 0.875 0.900 0.025 0.025 to 0.025 yes" in text
    assert values["settings"] == [{"name": "trainer.learning_rate", "a": "0.001", "b": "0.01"}]
    assert "trainer.learning_rate 0.001 0.01" in text
    assert "tracking.uri" not in text
    assert values["beats"] == {"common": 240, "only_a": 0, "only_b": 0, "patients": 6}
    assert values["mcnemar"] == {
        "both_right": 210,
        "only_a_right": 0,
        "only_b_right": 6,
        "both_wrong": 24,
        "method": "exact",
        "statistic": None,
        "p_value": pytest.approx(2 / 2**6),
    }
    assert (
        values["sign_flip"]["p_value"]
        == values["sign_flip"]["smallest_p_value"]
        == pytest.approx(2 / 2**6)
    )
    assert "McNemar: p = 0.031 (exact)" in text
    assert "beats of one patient are not independent, so this p is too small" in text
    assert "Sign flips over patients: p = 0.031 (B better in 6, A in 0, equal in 0)" in text
    assert "6 patients are few" in text
    assert "Each run is one seed" in text
    assert "its score is optimistic" in text


def test_other_parts_are_named_by_their_options(make_run, compare_command):
    public = {"privacy._target_": "ecgexp.privacy.NotPrivate", "model.filters": "[32]"}
    noisy = {"privacy._target_": "ecgexp.privacy.PrivacySpec", "privacy.max_epsilon": "None"}
    model = {"model._target_": "ecgexp.models.Cnn1d", "device._target_": "ecgexp.training.Device"}
    a = make_run("a", predictions(), settings=public | model)
    b = make_run(
        "b",
        predictions(right=slightly_better),
        settings=noisy | model | {"model.filters": "[16]", "device.threads": "2"},
        tags={
            "command": "ecgexp model=cnn1d_small trainer=dp device=cpu",
            "privacy": "ε = 3.00 (δ 1e-06)",  # the statement, not the option
        },
    )
    text, values = compare_command(a, b)
    assert "privacy none dp" in text
    assert "model cnn1d cnn1d_small model.filters [32] [16]" in text
    assert "device.threads (B only) – 2" in text
    assert "device device" not in text
    assert "NotPrivate" not in text
    assert "max_epsilon" not in text
    assert "privacy.max_epsilon" in {row["name"] for row in values["settings"]}
    assert text.count(values["verdict"]) == 2
    assert text.index(values["verdict"]) < text.index("What differs")


def test_note_of_both_runs_is_shown_once(make_run, compare_command):
    shared, own = "no beat is of class Q", "the model predicts N for each of 9 beats"
    a = make_run("a", predictions(), notes={"test": [shared, own]})
    text, _ = compare_command(a, make_run("b", predictions(), notes={"test": [shared]}))
    assert text.count(shared) == 1
    assert f"A and B, test: {shared}" in text
    assert f"A, test: {own}" in text


def test_verdict_calls_a_small_difference_chance(make_run, compare_command):
    def another(patient, place):
        return (place % 8 != 0) ^ (place == patient) ^ ((place == 8) & (patient < 3))

    b = make_run("b", predictions(right=another), settings={"trainer.learning_rate": 0.01})
    text, values = compare_command(make_run("a", predictions()), b)
    assert "in macro F1 may be chance (−" in values["verdict"]
    assert values["verdict"].startswith("The difference of ")


def test_run_compared_with_itself_does_not_differ(make_run, compare_command):
    a = make_run("a", predictions())
    text, values = compare_command(a, a)
    assert {
        (row["difference"], row["interval"]["low"], row["interval"]["high"])
        for row in values["scores"]
    } == {(0, 0, 0)}
    assert values["verdict"] == "A and B predict the same class for every beat: neither is better."
    assert "A and B are the same run" in text
    assert text.count("no test is possible") == 1
    assert "Sign flips" not in text
    assert "no setting that affects the result" in text


def test_beats_in_another_order_are_matched(make_run, compare_command):
    shuffled = predictions().sample(frac=1, random_state=3)
    _, values = compare_command(
        make_run("a", predictions()), make_run("b", shuffled, settings={"seed": 2})
    )
    assert values["beats"]["common"] == PATIENTS * BEATS
    assert values["mcnemar"]["only_a_right"] == values["mcnemar"]["only_b_right"] == 0


def test_two_seeds_of_one_configuration_are_named(make_run, compare_command):
    b = make_run(
        "b", predictions(right=slightly_better), settings={"seed": 2, "data.root": "elsewhere"}
    )
    text, values = compare_command(make_run("a", predictions()), b)
    assert values["only_seed_differs"] is True
    assert values["verdict"].endswith(
        "Only the seed differs: the difference comes from the seed, not from a setting."
    )
    assert "Each run is one seed" not in text


def test_equal_runs_with_other_predictions_are_named(make_run, compare_command):
    _, values = compare_command(
        make_run("a", predictions()), make_run("b", predictions(right=slightly_better))
    )
    assert values["verdict"].endswith(
        "No setting differs: the difference comes from nondeterministic training."
    )


def test_other_data_and_other_beats_are_reported(make_run, compare_command):
    b = predictions().query("patient != 'p0'")
    text, values = compare_command(
        make_run("a", predictions()), make_run("b", b, tags={"dataset.digest": "d2"})
    )
    assert values["beats"] == {"common": 200, "only_a": 40, "only_b": 0, "patients": 5}
    assert "Different beats: 40 test beats of A are not among B's, and 0 of B's" in text
    assert "Different data: the digests of the beats differ (d1 and d2)" in text
    assert values["origin"] == [{"name": "dataset.digest", "a": "d1", "b": "d2"}]


def test_run_made_before_the_renaming_is_named(make_run, compare_command):
    new = {"features._target_": "ecgexp.features.SignalFeatures"}
    old = {"input._target_": "ecgexp.inputs.SignalInput"}
    text, _ = compare_command(
        make_run("a", predictions(), settings=new), make_run("b", predictions(), settings=old)
    )
    assert "B was made before version 0.2.0" in text
    assert "A was made before" not in text


def test_comparison_of_few_patients_has_no_intervals(make_run, compare_command):
    few = predictions(patients=4)
    b = make_run("b", predictions(patients=4, right=slightly_better), settings={"seed": 2})
    text, values = compare_command(make_run("a", few), b)
    assert "no intervals: 4 patients, and at least 5 are needed" in text
    assert all(row["interval"] is None for row in values["scores"])
    assert "may be chance; no intervals: 4 patients, and at least 5 are needed" in values["verdict"]


def test_comparison_of_unknown_patients_is_at_beat_level(make_run, compare_command):
    unknown = predictions().assign(patient="")
    better = predictions(right=slightly_better).assign(patient="")
    text, values = compare_command(
        make_run("a", unknown), make_run("b", better, settings={"seed": 2})
    )
    assert "beats, patients unknown, beat level only" in text
    assert "no test over patients" in text
    assert values["sign_flip"] is None
    assert all(row["interval"] is None for row in values["scores"])


@pytest.mark.parametrize(
    ("table", "tags", "why"),
    [
        (
            predictions().assign(record=lambda table: "9" + table["record"]),
            {},
            "other ones, so that none is common",
        ),
        (
            predictions(classes=("N", "S", "F")),
            {},
            "A has the classes N, S, V, and B has N, S, F",
        ),
        (
            predictions().replace({"class": {"S": "V"}}),
            {},
            "common beats have another true class in B than in A",
        ),
        (
            predictions(),
            {"dataset.name": "svdb 1.0.0"},
            "A was evaluated on mitdb 1.0.0, and B on svdb 1.0.0",
        ),
    ],
)
def test_incomparable_runs_have_reason_and_differences(make_run, compare_command, table, tags, why):
    b = make_run("b", table, settings={"trainer.learning_rate": 0.01}, tags=tags)
    text, values = compare_command(make_run("a", predictions()), b, code=1)
    assert why in values["problem"]
    assert values["verdict"] == f"No verdict: {values['problem']}."
    assert values["scores"] == []
    assert values["mcnemar"] is None
    assert "trainer.learning_rate 0.001 0.01" in text


def test_averages_over_other_classes_are_reported(make_run, compare_command):
    data = {"data": {"classes": list(CLASSES)}}
    every = {f"test/support/{name}": 10.0 for name in CLASSES}
    a = make_run("a", predictions(), metrics=every, **data)
    b = make_run(
        "b", predictions(right=slightly_better), metrics=every | {"test/support/V": 0.0}, **data
    )
    said, values = compare_command(a, b)
    assert "Different classes" in said
    assert "A's over N, S, V and B's over N, S; below both are over N, S, V" in said
    assert values["classes_in_average"] == list(CLASSES)
    said, _ = compare_command(a, a)
    assert "Different classes" not in said


def test_comparison_notes_classes_without_common_beats(make_run, compare_command):
    table = predictions()
    table = table[table["class"] != "V"]
    said, values = compare_command(make_run("a", table), make_run("b", table.assign(predicted="N")))
    assert "None of these beats is of class V" in said
    assert "macro F1 over N, S" in said
    assert values["verdict"].count("over N, S") == 1


def test_notes_of_both_runs_are_shown(make_run, compare_command):
    notes = {
        "notes": {
            "training": ["no training beat is of class S: the model cannot have learned them"]
        }
    }
    said, _ = compare_command(
        make_run("a", predictions()), make_run("b", predictions(right=slightly_better), **notes)
    )
    assert "B, training: no training beat is of class S" in said


def test_comparison_shows_privacy_of_both_runs(make_run, compare_command):
    private = {"privacy/epsilon": 3.21, "privacy/delta": 0.001}
    a = make_run("a", predictions(), metrics=private, settings={"privacy.unit": "patient"})
    text, values = compare_command(a, make_run("b", predictions(right=slightly_better)))
    assert "A: ε = 3.21, δ = 0.001, of a patient B: no privacy guarantee" in text
    rows = {"rows_per_unit": 1, "overlapping_rows": 1, "epsilon_overlap": None}
    assert (
        values["runs"]["a"]["privacy"]
        == {"epsilon": 3.21, "delta": 0.001, "unit": "patient"} | rows
    )
    assert values["runs"]["b"]["privacy"] == {"epsilon": None, "delta": None, "unit": None} | rows
    assert (
        "A has a privacy guarantee and B has none: part of the difference is due to it."
        in values["notes"]
    )
    assert "privacy.unit (A only) patient –" in text


@pytest.mark.parametrize(("overlap", "shown"), [(27.941, "28.0"), (None, "not known")])
def test_comparison_shows_privacy_of_overlapping_rows(make_run, compare_command, overlap, shown):
    runs = [
        make_run(
            name,
            predictions(),
            metrics={"privacy/epsilon": 3.301, "privacy/delta": 1e-5},
            settings={"privacy.unit": "beat"},
            privacy={"rows_per_unit": rows, "overlapping_rows": 5, "epsilon_overlap": overlap},
        )
        for name, rows in (("row", 1), ("group", 3))
    ]
    text, values = compare_command(*runs)
    assert f"A: ε = 3.31, δ = 1e-05, of a beat; of 5 rows that share samples: {shown}" in text
    assert (
        "B: ε = 3.31, δ = 1e-05, of a beat (3 overlapping rows); of 5 rows that share "
        f"samples: {shown}" in text
    )
    assert values["runs"]["b"]["privacy"]["epsilon_overlap"] == overlap
    assert any("in up to 1 rows in A and in up to 3 in B" in note for note in values["notes"])


def test_guarantees_of_other_units_cannot_be_compared(make_run, compare_command):
    runs = [
        make_run(
            unit,
            predictions(),
            metrics={"privacy/epsilon": 1.0, "privacy/delta": 1e-3},
            settings={"privacy.unit": unit},
        )
        for unit in ("beat", "patient")
    ]
    text, _ = compare_command(*runs)
    assert (
        "The ε are for different units of privacy, beat in A and patient in B: they cannot "
        "be compared." in text
    )
    assert "part of the difference is due to it" not in text


def test_comparison_uses_validation_beats_with_split(make_run, compare_command):
    a, b = (
        make_run(name, predictions(), split="validation", settings={"seed": i})
        for i, name in enumerate("ab")
    )
    text, values = compare_command(a, b, "--split", "validation")
    assert values["split"] == "validation"
    assert "If validation beats selected the epoch" in text


def test_comparison_warns_of_failed_runs_and_dirty_code(make_run, compare_command):
    b = make_run("b", predictions(), status="KILLED", tags={"git.dirty": "true"})
    text, _ = compare_command(make_run("a", predictions()), b)
    assert "B is KILLED and not FINISHED" in text
    assert "A run used code with uncommitted changes" in text


def test_comparison_warns_of_a_debug_run(make_run, compare_command):
    b = make_run("b", predictions(), tags={"debug": "smoke"})
    text, _ = compare_command(make_run("a", predictions()), b)
    assert "B is a debug run; debug=smoke: scores mean nothing" in text


def test_verdict_uses_the_metric_that_selected_the_epoch(make_run, compare_command):
    settings = {"selection.metric": "f1/V"}
    a = make_run("a", predictions(), settings=settings)
    assert (
        compare_command(a, make_run("b", predictions(), settings=settings))[1]["decisive"] == "f1/V"
    )
    assert compare_command(a, make_run("c", predictions()))[1]["decisive"] == "macro_f1"


def test_comparison_with_equal_seeds_has_equal_intervals(make_run, compare_command):
    rng = np.random.default_rng(0)
    a = make_run("a", predictions())
    b = make_run("b", predictions(right=lambda patient, place: rng.random(len(place)) < 0.9))
    first, again, other = (
        compare_command(a, b, "--seed", seed)[1]["scores"] for seed in ("4", "4", "5")
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (None, r"run b \(.*/b\) has no predictions/test.parquet"),
        (
            lambda file: file.write_bytes(b"PAR1 not"),
            "b/predictions/test.parquet is not a table of predictions",
        ),
        (
            lambda file: predictions().drop(columns="sample").to_parquet(file),
            "not a table .*: the column sample is missing",
        ),
        (lambda file: predictions().head(0).to_parquet(file), "holds no beats"),
        (
            lambda file: predictions().iloc[:, :6].to_parquet(file),
            "not a table of predictions: it has no class",
        ),
    ],
)
def test_missing_or_damaged_predictions_are_one_line(make_run, tmp_path, capsys, spoil, message):
    a, b = make_run("a", predictions()), make_run("b", None if spoil is None else predictions())
    if spoil is not None:
        spoil(tmp_path / "b" / "predictions" / "test.parquet")
    assert compare.main([a, b]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("ecgexp-compare: ")
    assert re.search(message, err)


def test_comparison_of_an_unknown_run_is_one_line(make_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert compare.main([make_run("a", predictions()), "nowhere"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path / "mlruns" / "mlflow.db") in err


def test_comparison_that_cannot_be_written_is_one_line(make_run, tmp_path, capsys):
    a = make_run("a", predictions())
    assert compare.main([a, a, "--output", str(tmp_path / "no" / "all.json")]) == 2
    assert (
        capsys.readouterr().err
        == f"ecgexp-compare: --output {tmp_path}/no/all.json: the file cannot be written: No "
        "such file or directory; use another --output\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "RUN_B"),
        (["a", "b", "--split", "train"], "invalid choice: 'train'"),
        (["a", "b", "--num-resamples", "-1"], "-1"),
        (["a", "b", "--seed", "1.5"], "'1.5' is not a whole number from 0"),
    ],
)
def test_comparison_with_invalid_arguments_is_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        compare.main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in err
    assert err.count("\n") == 1


def test_help_of_compare_shows_no_password_and_is_fast(monkeypatch):
    code = (
        "import sys; from ecgexp.cli.compare import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'mlflow', 'tensorflow', 'pandas', 'scipy'} & set(sys.modules)"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@host/100%")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "s3cret" not in done.stdout


def test_comparison_lines_fit_a_terminal(make_run, monkeypatch):
    terminal = Stream(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "Console", partial(Console, results=terminal))
    a = make_run("a", predictions(), settings={"model.filters": "[" + "32, " * 40 + "32]"})
    assert compare.main([a, make_run("b", predictions(right=slightly_better))]) == 0
    *lines, _ = Text.from_ansi(terminal.file.getvalue()).plain.splitlines()
    assert max(map(len, lines)) <= 80


def test_runs_of_mlflow_are_found_by_id(mlflow_runs, compare_command):
    uri, a, b = mlflow_runs
    text, values = compare_command(a, b, "--store", uri)
    assert values["runs"]["a"]["run_id"] == a
    assert values["runs"]["b"]["run_id"] == b
    assert values["verdict"].startswith("B is better in macro F1")
    assert "A: first" in text


@pytest.fixture
def mlflow_runs(tmp_path, make_run):
    """A store with two finished runs: its address and their ids."""
    from ecgexp.tracking.mlflow.quiet import quieten

    quieten()
    from ecgexp.tracking.mlflow.store import open_store
    from ecgexp.tracking.mlflow.tracker import MlflowTracker

    store = open_store(
        "sqlite:///mlflow.db",
        artifact_root=tmp_path / "kept",
        experiment_name="tests",
        base_dir=tmp_path,
    )
    ids = []
    for i, (name, table) in enumerate(
        [("first", predictions()), ("second", predictions(right=slightly_better))]
    ):
        tracker = MlflowTracker.create(store, name)
        tracker.log_params(SETTINGS | {"trainer.epochs": i})
        tracker.set_tags(TAGS)
        tracker.log_table(table, "predictions/test.parquet")
        tracker.finish("FINISHED")
        ids.append(tracker.run_id)
    return store.uri, *ids
