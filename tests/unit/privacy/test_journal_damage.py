"""Evidence of privacy loss that is missing, cut off, edited or another run's is refused.

It never makes ε smaller.
"""

import copy
import json
import os

import pytest

from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.journal import Journal
from ecgexp.privacy.ledger import Ledger, PrivacyViolation
from ecgexp.privacy.settings import PrivacySpec
from ecgexp.settings.declaration import DataError

PLAN = PrivacySpec(noise_multiplier=1.0).plan(num_units=10_000, expected_batch_size=100, epochs=10)
BLOCK, STEPS = 100, 500
REMEDY = r"start the run\s+anew in another folder, without resume="


@pytest.fixture
def run(tmp_path):
    """Path of the journal and state of a run after 500 steps, saved and then interrupted at step
    520.
    """
    path = tmp_path / "privacy_journal.jsonl"
    ledger = begin(path)
    for _ in range(STEPS):
        ledger.record(PLAN.step_event)
    state = json.loads(json.dumps(ledger.to_dict()))
    for _ in range(20):
        ledger.record(PLAN.step_event)
    return path, state


def begin(path, plan=PLAN):
    Journal.create(path)
    journal = Journal(path, block=BLOCK)
    return Ledger.from_dict(plan, Ledger(plan, journal=journal).to_dict(), journal=journal)


def resume(path, state):
    return Ledger.from_dict(PLAN, state, journal=Journal(path, block=BLOCK))


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_ledger_of_an_intact_journal_counts_the_block(run):
    resumed = resume(*run)
    assert (resumed.steps, resumed.discarded_steps) == (500, 100)


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link": lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere")),
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "zeros": lambda path: path.write_bytes(b"\0" * 4096),
    "header alone": lambda path: path.write_bytes(lines(path)[0]),
    "header cut": lambda path: path.write_bytes(lines(path)[0][:20]),
    "no header": lambda path: path.write_bytes(b"".join(lines(path)[1:])),
    "another format": lambda path: path.write_bytes(
        path.read_bytes().replace(b'"journal": 1', b'"journal": 9', 1)
    ),
    "last lines gone": lambda path: path.write_bytes(b"".join(lines(path)[:3])),
    "garbage between": lambda path: path.write_bytes(
        b"".join([*lines(path)[:2], b"garbage\n", *lines(path)[2:]])
    ),
    "invalid text between": lambda path: path.write_bytes(
        b"".join([*lines(path)[:2], b"\xff\xfe\n", *lines(path)[2:]])
    ),
    "nested too deep": lambda path: path.write_bytes(path.read_bytes() + b"[" * 200_000 + b"\n"),
    "an empty line": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "a count of another kind": lambda path: _append(path, count="600"),
    "a count of half a step": lambda path: _append(path, count=700.5),
    "a count that is true": lambda path: _append(path, count=True),
    "a negative count": lambda path: _append(path, count=-1),
    "a count that shrinks": lambda path: _append(path, count=10),
    "an entry with more": lambda path: _append(path, count=700, note="hi"),
    "other noise": lambda path: path.write_bytes(
        path.read_bytes().replace(b'tiplier": 1.0', b'tiplier": 9.0')
    ),
    "other noise at the end": lambda path: _append(
        path, count=700, event=stored_events.to_json(dp_events.gaussian(5.0))
    ),
    "another run's": lambda path: _of_another_run(path),
}


def _append(path, *, count, event=None, **more):
    event = stored_events.to_json(PLAN.step_event) if event is None else event
    with path.open("a") as file:
        file.write(json.dumps({"event": event, "count": count, **more}) + "\n")


def _of_another_run(path):
    path.unlink()
    other = begin(path)
    for _ in range(600):
        other.record(PLAN.step_event)


@pytest.mark.parametrize("damage", DAMAGE)
def test_journal_that_is_damaged_is_refused_with_the_remedy(run, damage):
    path, state = run
    DAMAGE[damage](path)
    with pytest.raises(DataError, match=REMEDY) as refused:
        resume(path, state)
    assert len(str(refused.value).splitlines()) == 1


def test_journal_that_may_not_be_read_is_refused(run, monkeypatch):
    path, state = run

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(DataError, match=rf"cannot be read \(Permission denied\).*{REMEDY}"):
        resume(path, state)


@pytest.mark.parametrize("kept", [1, 30, -1])
@pytest.mark.parametrize("which", [2, 4, 6])
def test_journal_whose_last_line_is_torn_counts_a_block(run, which, kept):
    """Of the first, a middle and the last block.

    What it can have said at most, and then it is whole again.
    """
    path, _ = run
    path.write_bytes(b"".join(lines(path)[:which]) + lines(path)[min(which, 6)][:kept])
    fresh = begin(path)
    assert fresh.discarded_steps == BLOCK * which
    assert (
        Journal(path, block=BLOCK).count(
            json.dumps(stored_events.to_json(PLAN.step_event), sort_keys=True)
        )
        == BLOCK * which
    )
    fresh.record(PLAN.step_event)
    assert begin(path).discarded_steps == BLOCK * (which + 1)


def test_journal_torn_after_the_checkpoint_never_undercounts(run):
    path, state = run
    whole = path.read_bytes()
    for size in range(len(b"".join(lines(path)[:6])) + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert resume(path, state).discarded_steps == BLOCK


def edit(change):
    def changed(state):
        state = copy.deepcopy(state)
        change(state)
        return state

    return changed


def _entry(state):
    return state["entries"][0]


EDITS = {
    "no count": lambda s: _entry(s).__setitem__(1, 0),
    "no entry": lambda s: s["entries"].clear(),
    "fewer counted": lambda s: _entry(s).__setitem__(1, 499),
    "more counted": lambda s: _entry(s).__setitem__(1, 501),
    "a negative count": lambda s: _entry(s).__setitem__(1, -500),
    "a count of another kind": lambda s: _entry(s).__setitem__(1, "500"),
    "half a count": lambda s: _entry(s).__setitem__(1, 500.0),
    "other noise": lambda s: _entry(s)[0]["event"].__setitem__("noise_multiplier", 10.0),
    "other sampling": lambda s: _entry(s)[0].__setitem__("sampling_probability", 0.001),
    "an event that is free": lambda s: _entry(s).__setitem__(
        0, stored_events.to_json(dp_events.nothing())
    ),
    "an unknown event": lambda s: _entry(s).__setitem__(0, {"event": "os.system"}),
    "an entry twice": lambda s: s["entries"].append(list(_entry(s))),
    "an entry overwritten": lambda s: s["entries"].append([_entry(s)[0], 1]),
    "an entry of one": lambda s: s["entries"].append([1]),
    "entries gone": lambda s: s.pop("entries"),
    "steps 0": lambda s: s.__setitem__("steps", 0),
    "steps and entries 0": lambda s: (
        s.__setitem__("steps", 0),
        s["entries"].clear(),
        s["journal"].__setitem__("run", "0" * 32),
    ),
    "steps beyond the plan": lambda s: (
        s.__setitem__("steps", 5000),
        _entry(s).__setitem__(1, 5000),
    ),
    "steps gone": lambda s: s.pop("steps"),
    "negative discarded steps": lambda s: (
        s.__setitem__("discarded_steps", -400),
        _entry(s).__setitem__(1, 100),
    ),
    "discarded steps missing": lambda s: s.pop("discarded_steps"),
    "plan gone": lambda s: s.pop("plan"),
    "plan of another kind": lambda s: s.__setitem__("plan", [1]),
    "the plan's noise": lambda s: s["plan"].__setitem__("noise_multiplier", 3.0),
    "the plan's clip gone": lambda s: s["plan"].pop("l2_norm_clip"),
    "a simulation's plan": lambda s: s["plan"].__setitem__("noise_seed", 1),
    "journal gone": lambda s: s.pop("journal"),
    "no journal": lambda s: s.__setitem__("journal", None),
    "another journal": lambda s: s["journal"].__setitem__("run", "0" * 32),
    "journal ahead": lambda s: s["journal"].__setitem__("count", 10_000),
    "journal of another kind": lambda s: s.__setitem__("journal", 7),
    "everything gone": lambda s: s.clear(),
}


@pytest.mark.parametrize("name", EDITS)
def test_ledger_of_an_edited_checkpoint_is_refused(run, name):
    path, state = run
    with pytest.raises(PrivacyViolation, match=r"without resume=") as refused:
        resume(path, edit(EDITS[name])(state))
    assert len(str(refused.value).splitlines()) == 1


def test_ledger_of_a_checkpoint_without_its_journal_is_refused(run):
    with pytest.raises(PrivacyViolation, match=rf"its privacy journal is missing.*{REMEDY}"):
        Ledger.from_dict(PLAN, run[1])


def test_ledger_without_discarded_steps_counts_them_again(tmp_path):
    """Consistent in itself, and less than its journal has: what the journal has is counted."""
    path = tmp_path / "privacy_journal.jsonl"
    for _ in range(3):
        begin(path).record(PLAN.step_event)
    ledger = begin(path)
    assert ledger.discarded_steps == 3 * BLOCK
    state = json.loads(json.dumps(ledger.to_dict()))
    state["discarded_steps"], state["entries"][0][1] = 100, 100
    assert resume(path, state).discarded_steps == 3 * BLOCK
