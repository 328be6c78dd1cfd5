"""Steps undone by a crash stay recorded: never fewer than ran, at most a block more."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgexp.privacy.journal import Journal
from ecgexp.privacy.ledger import Ledger
from ecgexp.privacy.settings import PrivacySpec

BLOCK = 10


def plan(noise_seed=None, **spec):
    spec = PrivacySpec(
        noise_multiplier=2.0, delta=1e-5, l2_norm_clip=1.0, noise_seed=noise_seed, **spec
    )
    return spec.plan(num_units=1000, expected_batch_size=100, epochs=5)


def count(path):
    """What the disk knows, of the one event that there is."""
    return max((json.loads(line)["count"] for line in path.read_text().splitlines()[1:]), default=0)


def with_steps(made, path, steps, state=None):
    """A ledger that recorded so many steps, in a session of its own."""
    Journal.create(path)
    journal = Journal(path, block=BLOCK)
    ledger = Ledger.from_dict(
        made, state or Ledger(made, journal=journal).to_dict(), journal=journal
    )
    for _ in range(steps):
        ledger.record(made.step_event)
    return ledger


@settings(max_examples=30)
@given(checkpointed=st.integers(0, 25), then=st.integers(0, 24))
def test_crash_counts_all_steps_and_one_block_more_at_most(tmp_path_factory, checkpointed, then):
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    made = plan()
    first = with_steps(made, path, checkpointed)
    state = json.loads(json.dumps(first.to_dict()))
    for _ in range(then):  # taken, and undone by the crash
        first.record(made.step_event)
    resumed = with_steps(made, path, 0, state)
    assert resumed.steps == checkpointed
    assert then <= resumed.discarded_steps < then + BLOCK
    if not checkpointed % BLOCK and not then:
        assert resumed.discarded_steps == 0
    assert resumed.epsilon_spent("rdp") >= first.epsilon_spent("rdp")


def test_discarded_steps_are_not_steps_of_the_run(tmp_path):
    made = plan()
    first = with_steps(made, tmp_path / "journal", 10)
    state = first.to_dict()
    first.record(made.step_event)
    resumed = with_steps(made, tmp_path / "journal", made.iterations - 10, state)
    resumed.verify_complete(made.iterations)
    assert resumed.discarded_steps == BLOCK
    whole = Ledger(made)
    whole.record(made.step_event, made.iterations)
    assert resumed.epsilon_spent("rdp") > whole.epsilon_spent("rdp")
    again = with_steps(made, tmp_path / "journal", 0, json.loads(json.dumps(resumed.to_dict())))
    assert again.discarded_steps == BLOCK, "they are recorded once, however often the run resumes"


def test_simulation_repeats_its_noise_and_records_no_more(tmp_path):
    made = plan(noise_seed=3)
    first = with_steps(made, tmp_path / "journal", 10)
    state = first.to_dict()
    first.record(made.step_event)
    assert with_steps(made, tmp_path / "journal", 0, state).discarded_steps == 0


def test_the_disk_knows_before_the_step_runs(tmp_path):
    made, path = plan(), tmp_path / "journal"
    ledger = with_steps(made, path, 0)
    assert count(path) == 0
    ledger.record(made.step_event)
    assert count(path) == BLOCK
    for _ in range(BLOCK):
        ledger.record(made.step_event)
    assert count(path) == 2 * BLOCK


def test_a_block_ends_where_the_run_ends(tmp_path):
    made, path = plan(), tmp_path / "journal"
    ledger = with_steps(made, path, 45)
    state = ledger.to_dict()
    assert count(path) == 50
    resumed = with_steps(made, path, made.iterations - 45, state)
    assert resumed.discarded_steps == 5
    assert count(path) == 55, "50 steps and the 5 that were lost"


@pytest.mark.parametrize("affordable", [13, 17, 23])
def test_a_block_ends_where_the_budget_ends(tmp_path, affordable):
    """Otherwise a crash would record steps that the cap forbids, and the run would state more than
    its cap.
    """
    free = Ledger(plan(accountant="rdp"))
    free.record(free.plan.step_event, affordable)
    made = plan(accountant="rdp", max_epsilon=free.epsilon_spent() * 1.0001)
    first = with_steps(made, tmp_path / "journal", affordable - 2)
    assert count(tmp_path / "journal") <= affordable
    resumed = with_steps(
        made, tmp_path / "journal", 0, Ledger(made, journal=first._journal).to_dict()
    )
    while not resumed.would_exceed(made.step_event):
        resumed.record(made.step_event)
    assert resumed.epsilon_spent() <= made.max_epsilon
    assert resumed.stopped_by_budget


def test_a_journal_that_cannot_be_written_stops_the_step(tmp_path):
    made = plan()
    ledger = with_steps(made, tmp_path / "journal", BLOCK)
    (tmp_path / "journal").unlink()
    with pytest.raises(FileNotFoundError):
        ledger.record(made.step_event)
    assert ledger.steps == BLOCK
    assert not (tmp_path / "journal").exists(), (
        "a new one would begin without what was taken before"
    )


def test_a_new_run_in_an_old_folder_counts_what_was_taken_there(tmp_path):
    made, path = plan(), tmp_path / "journal"
    with_steps(made, path, 10)
    assert with_steps(made, path, 0).discarded_steps == 10
