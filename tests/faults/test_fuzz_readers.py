"""Fuzzing of the readers with some hundred inputs, and tests that it notices faults.

`scripts/fuzz_readers.py` does the same with a hundred thousand inputs.
"""

import os
import re
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fuzzing import mutations, verdicts, watch
from fuzzing.byte_mutations import ANNOTATION, BYTES, TEXT
from fuzzing.corpus import make_cases

from ecgexp.data.formats import csv_reader, wfdb_files, wfdb_reader, wfdb_signals

INPUTS = 300


@pytest.fixture(scope="module")
def cases():
    made = make_cases()
    for case in made:
        verdicts.check_readers_agree(case)
    return made


@pytest.fixture
def case(cases):
    return next(case for case in cases if case.name == "format 16")


def fuzz(cases, *, inputs, seconds=60.0, seed=20, limit=20.0):
    limits, until = watch.Limits(seconds=limit), time.monotonic() + seconds
    yield from watch.run(
        cases, seed=seed, numbers=range(inputs), workers=1, limits=limits, until=until
    )


def test_mutated_record_is_rejected_or_read_correctly(cases):
    outcomes = Counter()
    for number, verdict in fuzz(cases, inputs=INPUTS, seconds=600.0):
        assert verdict is not None, (
            f"input {number} hung or crashed: scripts/fuzz_readers.py --seed 20 --only {number}"
        )
        assert verdict.outcome != verdicts.FINDING, (
            f"input {number}, {verdict.mutations}: {verdict.kind}\n{verdict.detail}"
        )
        outcomes[verdict.outcome] += 1
    assert outcomes.total() == INPUTS
    assert set(outcomes) == {verdicts.REFUSED, verdicts.TRUE, verdicts.BEYOND}


def test_fuzz_input_depends_on_its_number_only(cases, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (verdicts.try_input(cases, 1, 5, tmp_path / name) for name in ("one", "two"))
    assert (one.mutations, dict(one.files), one.outcome) == (
        two.mutations,
        dict(two.files),
        two.outcome,
    )


def outcome_of(case, folder, **changed):
    files = {**case.files, **{name.replace("_", "."): content for name, content in changed.items()}}
    verdict = verdicts.evaluate(case, files, ["by hand"], folder)
    return verdict.outcome, verdict.kind, verdict.detail


def test_outcome_of_a_fuzz_input_is_classified(case, tmp_path):
    header, signal, notes = (case.files[f"a.{suffix}"] for suffix in ("hea", "dat", "atr"))
    assert outcome_of(case, tmp_path)[0] == verdicts.TRUE
    assert outcome_of(case, tmp_path, a_hea=header + b"# another comment\n")[0] == verdicts.TRUE
    assert outcome_of(case, tmp_path, a_dat=signal[:-1])[0] == verdicts.REFUSED
    assert (
        outcome_of(case, tmp_path, a_hea=header.replace(b"200.0(", b"100.0("))[0] == verdicts.BEYOND
    )
    normal = notes.index(bytes([150 - 20, 1 << 2]))
    assert (
        outcome_of(
            case, tmp_path, a_atr=notes[:normal] + bytes([130, 5 << 2]) + notes[normal + 2 :]
        )[0]
        == verdicts.BEYOND
    )
    frames = np.frombuffer(signal, "<i2").reshape(-1, 2).copy()
    frames[[100, 101]] = frames[[101, 100]]  # the sum stays
    assert outcome_of(case, tmp_path, a_dat=frames.tobytes())[0] == verdicts.BEYOND


def without_checks(monkeypatch):
    for module, check in (
        (wfdb_files, "check_sum"),
        (wfdb_signals, "check_millivolts"),
    ):
        monkeypatch.setattr(module, check, lambda *args: None)
    monkeypatch.setattr(wfdb_reader, "in_time_order", lambda *args: args)


def test_wrong_beats_without_an_error_are_a_finding(case, tmp_path, monkeypatch):
    signal = bytearray(case.files["a.dat"])
    signal[50] ^= 1
    assert outcome_of(case, tmp_path, a_dat=bytes(signal))[0] == verdicts.REFUSED
    without_checks(monkeypatch)
    assert outcome_of(case, tmp_path, a_dat=bytes(signal))[:2] == (
        verdicts.FINDING,
        "other beats without an error",
    )


def test_reader_without_its_checks_is_found_by_fuzzing(cases, monkeypatch):
    without_checks(monkeypatch)
    kinds = Counter(
        verdict.kind
        for _, verdict in fuzz(cases, inputs=150)
        if verdict.outcome == verdicts.FINDING
    )
    assert kinds["other beats without an error"] >= 3


def test_other_beats_with_published_sha256_are_a_finding(case, tmp_path):
    case = replace(case, database=replace(case.database, sha256={}))
    header = case.files["a.hea"].replace(b"200.0(", b"100.0(")
    assert outcome_of(case, tmp_path, a_hea=header)[:2] == (
        verdicts.FINDING,
        "other beats with the published SHA-256",
    )


@pytest.mark.parametrize(
    ("fault", "kind", "hangs"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError in", False),
        (lambda *_: np.ones(1 << 28), ".*MemoryError in", False),  # 2 GiB
        (lambda *_: os._exit(1), None, False),
        (lambda *_: time.sleep(600), None, True),
    ],
    ids=["an exception", "memory", "a crash", "a hang"],
)
def test_fault_is_a_finding_and_other_inputs_still_run(cases, monkeypatch, fault, kind, hangs):
    monkeypatch.setattr(csv_reader, "read_record", fault)
    # Only a hang needs a short limit, which a busy machine may exceed; it is then tried again.
    found = dict(fuzz(cases, inputs=6, seconds=600.0, **({"limit": 0.7} if hangs else {})))
    assert sorted(found) == list(range(6))
    faulty = found.pop(1)
    assert cases[1].layout == "kaggle_csv"
    assert faulty is None if kind is None else re.match(kind, faulty.kind)
    assert all(verdict.outcome != verdicts.FINDING for verdict in found.values())


def test_fuzzer_leaves_no_process(cases):
    import multiprocessing

    running = fuzz(cases, inputs=100_000)
    next(running)
    running.close()
    assert not multiprocessing.active_children()


def test_mutations_reach_every_file_and_kind(cases):
    kinds_made = Counter()
    for number in range(3000):
        case = cases[number % len(cases)]
        _, made = mutations.mutate(
            case.files, verdicts.own_files(case), np.random.default_rng(number)
        )
        kinds_made.update(line.split()[0] for line in made)
    kinds = {
        change.__name__
        for changes in (BYTES, ANNOTATION, TEXT, mutations._FILES)
        for change in changes
    }
    assert set(kinds_made) == kinds
