"""The readers under fire for some seconds, and the proof that the one who fires would notice a
fault.

`scripts/fuzz_readers.py` is the same with a hundred thousand inputs.
"""

import os
import re
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fuzzing import judge, mutations, watch
from fuzzing.corpus import make_cases

from ecgexp.data.formats import csv_reader, wfdb_reader

SECONDS = 5


@pytest.fixture(scope="module")
def cases():
    made = make_cases()
    for case in made:
        judge.check_sound(case)
    return made


@pytest.fixture
def case(cases):
    return next(case for case in cases if case.name == "format 16")


def fire(cases, *, inputs, seconds=60.0, seed=20, limit=20.0):
    limits, until = watch.Limits(seconds=limit), time.monotonic() + seconds
    yield from watch.run(
        cases, seed=seed, numbers=range(inputs), workers=1, limits=limits, until=until
    )


def test_every_spoilt_record_is_refused_in_a_line_or_read_as_what_it_is(cases):
    outcomes = Counter()
    for number, verdict in fire(cases, inputs=100_000, seconds=SECONDS):
        assert verdict is not None, (
            f"input {number} hung or crashed: scripts/fuzz_readers.py --seed 20 --only {number}"
        )
        assert verdict.outcome != judge.FINDING, (
            f"input {number}, {verdict.story}: {verdict.kind}\n{verdict.detail}"
        )
        outcomes[verdict.outcome] += 1
    assert outcomes.total() > 100
    assert set(outcomes) == {judge.REFUSED, judge.TRUE, judge.BEYOND}


def test_an_input_is_the_same_whenever_it_is_made(cases, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (judge.try_input(cases, 1, 5, tmp_path / name) for name in ("one", "two"))
    assert (one.story, dict(one.files), one.outcome) == (two.story, dict(two.files), two.outcome)


def outcome_of(case, folder, **changed):
    files = {**case.files, **{name.replace("_", "."): content for name, content in changed.items()}}
    verdict = judge.judge(case, files, ["by hand"], folder)
    return verdict.outcome, verdict.kind, verdict.detail


def test_what_counts_as_which_outcome(case, tmp_path):
    header, signal, notes = (case.files[f"a.{suffix}"] for suffix in ("hea", "dat", "atr"))
    assert outcome_of(case, tmp_path)[0] == judge.TRUE
    assert outcome_of(case, tmp_path, a_hea=header + b"# another comment\n")[0] == judge.TRUE
    assert outcome_of(case, tmp_path, a_dat=signal[:-1])[0] == judge.REFUSED
    assert outcome_of(case, tmp_path, a_hea=header.replace(b"200.0(", b"100.0("))[0] == judge.BEYOND
    normal = notes.index(bytes([150 - 20, 1 << 2]))
    assert (
        outcome_of(
            case, tmp_path, a_atr=notes[:normal] + bytes([130, 5 << 2]) + notes[normal + 2 :]
        )[0]
        == judge.BEYOND
    )
    frames = np.frombuffer(signal, "<i2").reshape(-1, 2).copy()
    frames[[100, 101]] = frames[[101, 100]]  # the sum stays
    assert outcome_of(case, tmp_path, a_dat=frames.tobytes())[0] == judge.BEYOND


def without_checks(monkeypatch):
    for check in ("check_signals", "check_annotations", "check_millivolts"):
        monkeypatch.setattr(wfdb_reader, check, lambda *args: None)


def test_wrong_beats_in_silence_are_found(case, tmp_path, monkeypatch):
    signal = bytearray(case.files["a.dat"])
    signal[50] ^= 1
    assert outcome_of(case, tmp_path, a_dat=bytes(signal))[0] == judge.REFUSED
    without_checks(monkeypatch)
    assert outcome_of(case, tmp_path, a_dat=bytes(signal))[:2] == (
        judge.FINDING,
        "other beats in silence",
    )


def test_a_reader_without_its_checks_is_found_out_soon(cases, monkeypatch):
    without_checks(monkeypatch)
    kinds = Counter(
        verdict.kind for _, verdict in fire(cases, inputs=150) if verdict.outcome == judge.FINDING
    )
    assert kinds["other beats in silence"] >= 3


def test_other_beats_that_pass_the_published_sha256_are_found(case, tmp_path):
    case = replace(case, database=replace(case.database, sha256={}))
    header = case.files["a.hea"].replace(b"200.0(", b"100.0(")
    assert outcome_of(case, tmp_path, a_hea=header)[:2] == (
        judge.FINDING,
        "other beats with the published SHA-256",
    )


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError in"),
        (lambda *_: np.ones(1 << 28), ".*MemoryError in"),  # 2 GiB
        (lambda *_: os._exit(1), None),
        (lambda *_: time.sleep(600), None),
    ],
    ids=["an exception", "memory", "a crash", "a hang"],
)
def test_faults_are_found_and_the_rest_is_tried_all_the_same(cases, monkeypatch, fault, kind):
    monkeypatch.setattr(csv_reader, "read_record", fault)
    found = dict(fire(cases, inputs=6, limit=0.7))
    assert sorted(found) == list(range(6))
    faulty = found.pop(1)
    assert cases[1].layout == "kaggle_csv"
    assert faulty is None if kind is None else re.match(kind, faulty.kind)
    assert all(verdict.outcome != judge.FINDING for verdict in found.values())


def test_no_process_is_left_behind(cases):
    import multiprocessing

    running = fire(cases, inputs=100_000)
    next(running)
    running.close()
    assert not multiprocessing.active_children()


def test_mutations_reach_every_file_and_every_kind(cases):
    stories = Counter()
    for number in range(3000):
        case = cases[number % len(cases)]
        _, story = mutations.mutate(
            case.files, judge.own_files(case), np.random.default_rng(number)
        )
        stories.update(line.split()[0] for line in story)
    kinds = {
        change.__name__
        for changes in (mutations._BYTES, mutations._ANNOTATION, mutations._TEXT, mutations._FILES)
        for change in changes
    }
    assert set(stories) == kinds
