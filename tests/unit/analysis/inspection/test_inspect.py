"""What the page says about records, also about those that cannot be read."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tiny_records import write_record

from ecgexp.analysis.inspection import page, text
from ecgexp.analysis.inspection.as_json import as_json
from ecgexp.analysis.inspection.facts import RecordFacts
from ecgexp.analysis.inspection.findings import findings_of
from ecgexp.analysis.inspection.inspect import inspect
from ecgexp.cli import inspect as command
from ecgexp.config.data_settings import load_data_settings
from ecgexp.console import Console
from ecgexp.data.formats.folder_source import FolderSource
from ecgexp.seeding import Seeds

SETTINGS = ("dataset.leads=[MLII]", "grouping.empty_class=drop")


def settings_of(folder, *overrides):
    return load_data_settings(["dataset=folder", f"dataset.path={folder}", *SETTINGS, *overrides])


@pytest.fixture(scope="module")
def of_sound(sound):
    return inspect(settings_of(sound))


@pytest.fixture(scope="module")
def of_odd(odd):
    return inspect(settings_of(odd))


def found(inspection, level):
    return [one.text for one in inspection.findings if one.level == level]


def printed(inspection, capsys):
    for part in text.render(inspection):
        Console().print_result(part)
    return capsys.readouterr().out


def test_damaged_records_are_listed_and_others_are_read(of_odd):
    reasons = {one.record_id: one.reason for one in of_odd.read.records if one.reason}
    assert set(reasons) == {"cut", "bare"}
    assert "1000 bytes" in reasons["cut"]
    assert "bare.atr" in reasons["bare"]
    assert sum("cannot be used" in one for one in found(of_odd, "error")) == 2
    assert len(of_odd.read.beats) == 15
    assert not of_odd.is_usable


def test_copy_and_missing_lead_are_found_with_a_remedy(of_odd):
    (copy,) = (one for one in found(of_odd, "error") if "same signal" in one)
    assert "b.dat and copy.dat" in copy
    (lead,) = (one for one in found(of_odd, "warning") if "other" in one)
    assert "without lead MLII (leads there: V5)" in lead
    assert "dataset.missing_lead=first" in lead


def test_first_leads_of_several_names_are_warned_of(sound, odd):
    mixed = found(inspect(settings_of(odd, "dataset.leads=null")), "warning")
    (lead,) = (one for one in mixed if "first leads" in one)
    assert "MLII in 3, V5 in 1" in lead
    assert "'dataset.leads=[MLII]' with their names in dataset.lead_aliases" in lead
    alike = found(inspect(settings_of(sound, "dataset.leads=null")), "warning")
    assert not [one for one in alike if "first leads" in one]


def test_records_are_read_once_each(sound, monkeypatch):
    read, original = [], FolderSource.read
    monkeypatch.setattr(
        FolderSource,
        "read",
        lambda self, name, *rest: read.append(name) or original(self, name, *rest),
    )
    inspect(settings_of(sound))
    assert sorted(read) == list("abcde")


def test_typical_beats_and_outliers_are_of_no_test_patient(of_sound, sound):
    settings = settings_of(sound)
    parts = settings.split.split(of_sound.labeled, Seeds(0).generator("split"))
    test = set(of_sound.labeled.record_ids[parts.test].tolist())
    assert test
    assert of_sound.shown == set("abcde") - test
    assert all(records == 5 - len(test) for _, records in of_sound.typical.numbers.values())
    values = as_json(of_sound)["records"]
    assert {one["record"] for one in values if one["rr_outliers"] is None} == test


def test_typical_beat_is_the_median_of_the_shown_windows(of_sound):
    kept, beats = of_sound.read.kept, of_sound.read.beats
    rows = np.isin(beats.record_ids[kept.rows], list(of_sound.shown))
    is_class = np.isin(beats.symbols[kept.rows], ["V"])
    expected = np.median(kept.windows_mv[rows & is_class], axis=0)
    np.testing.assert_allclose(of_sound.typical.median_mv["V"], expected, rtol=1e-6)
    assert of_sound.typical.times_ms[[0, 90]].tolist() == [-250.0, 0.0]


def test_split_counts_are_those_of_a_run(of_sound):
    chosen = of_sound.splits[0]
    assert (chosen.option, chosen.is_chosen, chosen.reason) == ("split=inter_patient", True, "")
    assert sum(part.patients for part in chosen.parts.values()) == 5
    assert sum(part.classes["V"] for part in chosen.parts.values()) == 5


def test_parts_of_a_dataset_are_read_with_their_names(sound, odd, capsys):
    settings = load_data_settings(
        [
            "dataset=folder_to_folder",
            f"dataset.train.path={sound}",
            f"dataset.test.path={odd}",
            "dataset.train.leads=[MLII]",
            "dataset.test.leads=[MLII]",
            "split=cross_database",
            "grouping.empty_class=drop",
        ]
    )
    inspection = inspect(settings)
    assert (inspection.title, inspection.labeled.lead_names) == ("train -> test", ("MLII",))
    assert {one.record_id for one in inspection.read.records} >= {"train/a", "test/cut"}
    assert inspection.splits[0].parts["test"].patients == 3
    assert inspection.shown == {f"train/{name}" for name in "abcde"}
    assert "test/cut cannot be used" in printed(inspection, capsys)


def test_impossible_split_names_its_remedy(of_sound):
    reasons = {one.option: one.reason for one in of_sound.splits}
    assert "use dataset=mitdb" in reasons["split=within_record"]
    assert "dataset=mitdb_to_svdb" in reasons["split=cross_database"]


def test_chosen_split_that_is_impossible_is_an_error(sound):
    inspection = inspect(settings_of(sound, "split=patient_kfold", "split.num_folds=9"))
    (error,) = found(inspection, "error")
    assert "split.num_folds=9" in error
    assert "split=inter_patient" in error
    assert inspection.beats_of.startswith("of all beats")


def test_empty_class_is_an_error_unless_it_may_be_dropped(sound, of_sound):
    assert of_sound.is_usable
    strict = inspect(settings_of(sound, "grouping.empty_class=error"))
    (error,) = found(strict, "error")
    assert "no beat of class F" in error
    assert "grouping.empty_class=drop" in error


def test_symbols_without_a_class_are_counted(sound):
    inspection = inspect(settings_of(sound, "~grouping.classes.Q"))
    assert inspection.ungrouped == {"Q": 5}
    assert any("left out: Q 5" in one for one in found(inspection, "warning"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"height_mv": (51.0,)}, "51 mV"),
        ({"height_mv": (0.001,)}, "0.001 mV"),
        ({"rr_s": np.float32([0.1, 0.8]), "rr_samples": np.array([7, 9])}, "sample 7"),
        ({"notes": {"a lead without a gain": 2}}, "a lead without a gain: 2 in all"),
        ({"gap_s": {"MLII": 3.0}}, "has gaps"),
        ({"symbols": {}, "others": {'"': 9}}, "use dataset.symbols_from=aux_note_or_symbol if"),
        ({"symbols": {}}, "annotated; use ecgexp-predict"),
        (
            {"unusable": {"ABP": "a.hea gives it in mmHg; copy it"}},
            "could not be: a.hea gives it in mmHg",
        ),
        ({"quality_s": {"noise": 2.0}}, "no usable ECG in more than"),
    ],
)
def test_odd_value_of_a_record_is_found(of_sound, sound, changes, says):
    record = next(one for one in of_sound.read.records if one.record_id in of_sound.shown)
    changed = replace(of_sound.read, records=[replace(record, **changes)])
    texts = [one.text for one in findings_of(replace(of_sound, read=changed), settings_of(sound))]
    assert any(says in one.replace("\N{NO-BREAK SPACE}", " ") for one in texts)


def test_gap_is_no_bad_signal_and_unused_lead_needs_no_remedy(of_sound, sound):
    record = of_sound.read.records[0]
    changes = {"gap_s": {"MLII": 2.0}, "quality_s": {"flat": 2.0}, "unusable": {"ABP": "a; copy"}}
    changed = replace(of_sound.read, records=[replace(record, **changes)])
    texts = [one.text for one in findings_of(replace(of_sound, read=changed), settings_of(sound))]
    assert not any("usable ECG" in one or "copy" in one for one in texts)


def test_quality_of_each_record_is_stated_by_reason(of_sound):
    first, *others = of_sound.read.records
    bad = replace(first, seconds=3.0, quality_s={"noise": 1.0, "flat": 0.5}, marked=2)
    other = replace(others[0], seconds=3.0, quality_s={"noise": 0.25}, marked=1)
    clean = replace(others[1], seconds=3.0, quality_s={}, marked=0)
    unknown = replace(others[2], quality_s=None)
    read = replace(of_sound.read, records=[bad, other, clean, unknown])
    assert read.quality_s == {"noise": 1.25, "flat": 0.5}
    assert bad.usable_share == 0.5
    assert np.isnan(unknown.usable_share)
    shown = as_json(replace(of_sound, read=read))
    assert shown["no_usable_ecg_seconds"] == {"noise": 1.25, "flat": 0.5}
    fields = ("no_usable_ecg_seconds", "beats_without_usable_ecg")
    assert [tuple(record[name] for name in fields) for record in shown["records"]] == [
        ({"noise": 1.0, "flat": 0.5}, 2),
        ({"noise": 0.25}, 1),
        ({}, 0),
        (None, None),
    ]
    html = page.render(replace(of_sound, read=read), made=datetime(2026, 3, 4, tzinfo=UTC))
    assert "(noise, flat)" in html


def test_record_without_beats_is_listed(tmp_path):
    write_record(tmp_path, "a", samples=(200, 380, 560), symbols="NVN")
    write_record(tmp_path, "b", samples=(300,), symbols='"', seed=1)
    inspection = inspect(settings_of(tmp_path))
    assert len(inspection.read.beats) == 3
    assert any(one.startswith("b: no beat is annotated") for one in found(inspection, "warning"))


def test_interval_of_a_test_record_is_not_shown(of_sound, sound):
    outlier = RecordFacts(
        record_id="hidden", used=("MLII",), rr_s=np.float32([9.0]), rr_samples=np.array([5])
    )
    changed = replace(of_sound, read=replace(of_sound.read, records=[outlier]))
    assert not any("sample 5" in one.text for one in findings_of(changed, settings_of(sound)))


def test_page_shows_nothing_of_a_header_comment(of_sound, sound, capsys):
    named = inspect(settings_of(sound, "dataset.patient_comment='(Roe)'", "dataset.records=[a]"))
    for inspection in (of_sound, named):
        assert "Roe" not in printed(inspection, capsys) + json.dumps(as_json(inspection))
    assert "Roe" in {one.patient_id for one in named.read.records}


def test_page_says_what_it_is_not(of_sound, capsys):
    said = printed(of_sound, capsys)
    assert "are no evaluation" in said
    assert "no privacy guarantee covers it" in said
    assert "training and validation patients of split=inter_patient only" in said


def test_command_tells_sound_from_odd_by_its_exit_code(sound, odd, capsys):
    assert command.main([str(sound), *SETTINGS, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["usable"], values["num_records"], values["patients_are"]) == (True, 5, "assumed")
    assert command.main([str(odd), *SETTINGS]) == 1
    assert "1000 bytes" in capsys.readouterr().out
    assert command.main([f"{odd}/none"]) == 2
    assert "dataset.path" in capsys.readouterr().err


def test_html_page_has_figure_and_records_but_no_comment(odd, sound, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert command.main([str(odd), *SETTINGS, "--output", str(page)]) == 1
    shown = page.read_text(encoding="utf-8")
    assert "1000 bytes" in shown
    assert 'id="typical-title"' in shown
    assert "default-src &#39;none&#39;" in shown
    assert all(name in shown for name in ("bare", "copy", "other"))
    assert command.main([str(sound), *SETTINGS, "--output", str(page)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command.main([str(sound), *SETTINGS, "--output", str(page), "--overwrite"]) == 0
    shown = page.read_text(encoding="utf-8")
    assert "Roe" not in shown
    assert "1000 bytes" not in shown


def test_html_page_never_replaces_another_file(sound, tmp_path, capsys):
    other = tmp_path / "notes.html"
    other.write_text("mine")
    assert command.main([str(sound), *SETTINGS, "--output", str(other), "--overwrite"]) == 2
    assert other.read_text() == "mine"
    assert "not a page" in capsys.readouterr().err


def test_cut_beats_without_patients_are_inspected_at_beat_level(tmp_path, capsys):
    beats = tmp_path / "beats.npz"
    signals = np.random.default_rng(0).normal(size=(40, 187)).astype(np.float32)
    np.savez(beats, x=signals, y=np.array(list("NNNV") * 10))
    words = [f"dataset.path={beats}", "dataset.fs_hz=125", "grouping=binary"]
    inspection = inspect(load_data_settings(["dataset=arrays", *words]))
    said = printed(inspection, capsys)
    assert "unknown: beat level only" in said
    assert "units of the file" in said
    assert "mV" not in said
    reasons = {one.option: one.reason for one in inspection.splits}
    assert "nothing states whose the beats are" in reasons["split=inter_patient"]
    assert not reasons["split=intra_patient"]
    assert command.main([str(beats), *words[1:]]) == 0
    assert "unknown: beat level only" in capsys.readouterr().out
    assert not any("RR interval" in one for one in found(inspection, "warning"))
