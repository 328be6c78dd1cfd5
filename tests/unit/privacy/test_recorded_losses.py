"""The record of a store.

What a run lost never shrinks, and runs on the same people are summed up.
"""

import json
import math
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ecgexp.privacy import dp_events, stored_events
from ecgexp.privacy.recorded_losses import FOLDER, Loss, Losses
from ecgexp.privacy.search_accounting import compose_epsilon, search_privacy_loss
from ecgexp.privacy.spent import PrivacySpent
from ecgexp.privacy.store_loss import groups_of, on_the_same_population, store_privacy_loss
from ecgexp.settings.declaration import ConfigError

PEOPLE = frozenset({"database mitdb"})


def event(noise=1.0, steps=100):
    return stored_events.to_json(dp_events.repeated(dp_events.poisson_gaussian(0.01, noise), steps))


def spent(noise=1.0, steps=100, **changes):
    values = {
        "delta": 1e-5,
        "unit": "beat",
        "neighboring_relation": "add_or_remove_one",
        "accountant": "pld",
        "has_privacy_guarantee": True,
    }
    return PrivacySpent(event=event(noise, steps), **(values | changes))


def loss(run_dir="/runs/a", *, training_population=PEOPLE, **changes):
    return Loss(
        run_dir=run_dir,
        name="run",
        training_population=training_population,
        **({"spent": spent()} | changes),
    )


def steps(store):
    return [
        sum(
            times
            for _, times in dp_events.leaves(stored_events.from_json(known.spent.event)).values()
        )
        for known in store
    ]


@pytest.fixture
def losses(tmp_path):
    return Losses(tmp_path)


def test_loss_is_on_record_before_the_first_step(losses):
    losses.begin(loss(), resumes=False)
    (known,) = losses.all()
    assert known.spent == spent()
    assert not known.finished


def test_loss_of_a_finished_run_is_what_ran(losses):
    losses.begin(loss(), resumes=False).finish(event(steps=60))
    assert steps(losses.all()) == [60]


def test_loss_without_an_event_keeps_the_reservation(losses):
    losses.begin(loss(), resumes=False).finish(None)
    assert steps(losses.all()) == [100]


def test_loss_of_a_resumed_run_is_never_less_than_before(losses):
    losses.begin(loss(), resumes=False)
    losses.begin(loss(spent=spent(steps=110)), resumes=True).finish(event(steps=80))
    (known,) = losses.all()
    assert steps([known]) == [100]
    losses.record(replace(known, spent=spent(steps=3), before=None, finished=True, start="another"))
    assert steps(losses.all()) == [100]


def test_loss_of_a_resumed_run_grows_with_discarded_steps(losses):
    losses.begin(loss(), resumes=False)
    losses.begin(loss(spent=spent(steps=110)), resumes=True).finish(event(steps=110))
    assert steps(losses.all()) == [110]


def test_run_folder_copied_and_finished_twice_counts_twice(losses):
    losses.begin(loss("/runs/a"), resumes=False)
    for folder in ("/runs/a", "/runs/copy"):
        losses.begin(loss(folder), resumes=True).finish(event())
    assert steps(losses.all()) == [100, 100]


@pytest.mark.parametrize("resumes", [True, False])
def test_run_begun_again_in_a_finished_folder_counts_twice(losses, resumes):
    for _ in range(2):
        losses.begin(loss(), resumes=resumes).finish(event())
    assert steps(losses.all()) == [100, 100]


def test_run_begun_from_nothing_in_its_old_folder_counts_twice(losses):
    for _ in range(2):
        losses.begin(loss(), resumes=False)
    assert steps(losses.all()) == [100, 100]


def test_loss_written_by_many_at_once_is_the_largest(losses):
    first = losses.begin(loss(), resumes=False).loss

    def write(number):
        losses.record(
            replace(first, spent=spent(steps=number), start=str(number), finished=number % 2 == 0)
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [*range(150, 90, -1), *range(50, 151)]))
    assert steps(losses.all()) == [150]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"loss": {}}', "\x00\x00"])
def test_damaged_record_is_unknown_and_never_nothing(losses, tmp_path, content):
    losses.begin(loss(), resumes=False)
    kept = losses.begin(loss("/runs/b"), resumes=False).loss
    (tmp_path / FOLDER / f"{kept.id}.json").write_text(content)
    assert (len(losses.all()), losses.damaged) == (1, 1)
    search_loss = store_privacy_loss(losses.all(), unknown=losses.damaged)
    assert search_loss.epsilon_all is None
    assert search_loss.text.startswith("At least")
    assert "unknown" in search_loss.text


def test_record_that_cannot_be_written_lets_no_run_begin(tmp_path):
    (tmp_path / FOLDER).touch()
    with pytest.raises(ConfigError, match="ECGEXP_PRIVATE"):
        Losses(tmp_path).begin(loss(), resumes=False)


def test_record_is_readable_by_its_owner_alone(losses, tmp_path):
    losses.begin(loss(), resumes=False)
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700


def test_record_survives_its_own_writing(losses, tmp_path):
    losses.begin(loss(sweep="s", before=spent(steps=50)), resumes=False)
    (path,) = (tmp_path / FOLDER).glob("*.json")
    assert json.loads(path.read_text())["training_population"] == ["database mitdb"]
    (known,) = losses.all()
    assert losses.record(known) == known


def test_runs_that_share_a_word_are_on_the_same_people():
    a, b, c, d = (
        loss(name, training_population=frozenset(words))
        for name, words in (("a", {"x", "y"}), ("b", {"y", "z"}), ("c", {"z"}), ("d", {"w"}))
    )
    assert on_the_same_population([d, c, b, a], {"x"}) == [c, b, a]
    assert groups_of([a, d, b, c]) == [[a, b, c], [d]]


def test_run_of_which_nothing_is_known_counts_for_everybody():
    a, b, unknown = (
        loss("a", training_population=frozenset("x")),
        loss("b", training_population=frozenset("y")),
        loss("c", training_population=frozenset()),
    )
    assert groups_of([a, b, unknown]) == [[a, unknown], [b, unknown]]
    assert groups_of([unknown]) == [[unknown]]


def test_store_sums_up_sweeps_and_single_runs():
    runs = [loss(sweep="one"), loss(sweep="one"), loss(sweep="two"), loss(finished=True)]
    search_loss = store_privacy_loss(runs)
    assert search_loss.epsilon_all == compose_epsilon([spent()] * 4)
    assert "2 sweeps and 1 single run" in search_loss.text
    assert "did not finish, 3 of them" in search_loss.text
    assert "mitdb" in search_loss.text


def test_store_equals_independent_accounting():
    """Recomputed with dp_accounting alone.

    3 runs of 100 steps and one of 250, at the smallest δ.
    """
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    runs = [
        loss(spent=spent(0.7)),
        loss(spent=spent(0.7)),
        loss(spent=spent(2.0, 250, delta=1e-6)),
        loss(spent=spent(0.7)),
    ]
    accountant = PLDAccountant()
    for noise, count in ((0.7, 300), (2.0, 250)):
        accountant.compose(
            dp_event.PoissonSampledDpEvent(0.01, dp_event.GaussianDpEvent(noise)), count
        )
    assert store_privacy_loss(runs).epsilon_all == pytest.approx(
        accountant.get_epsilon(1e-6), rel=1e-3
    )


def test_store_with_a_run_without_a_guarantee_has_no_bound():
    search_loss = store_privacy_loss([loss(), loss(spent=spent(has_privacy_guarantee=False))])
    assert search_loss.epsilon_all is None
    assert "no bound at all" in search_loss.text


def test_store_with_two_units_has_one_epsilon_for_each():
    search_loss = store_privacy_loss(
        [loss(), loss(), loss(spent=spent(unit="patient", delta=1e-3))]
    )
    assert search_loss.epsilon_all is None
    assert "unit: beat, add or remove one: 2 private runs" in search_loss.text
    assert "unit: patient, add or remove one: 1 private run," in search_loss.text
    assert "no bound is known" in search_loss.text


def test_composition_of_steps_that_one_accountant_alone_knows():
    """A truncated batch has no RDP.

    A run that reports RDP beside it must not leave the sum without a bound.
    """
    truncated = stored_events.to_json(
        dp_events.repeated(dp_events.truncated_gaussian(1000, 0.01, 12, 2.0), 10)
    )
    runs = [spent(accountant="rdp"), replace(spent(), event=truncated)]
    assert math.isfinite(compose_epsilon(runs))
    assert search_privacy_loss(runs).accountant == "pld"


def test_composition_of_many_kinds_stays_an_upper_bound():
    runs = [spent(2.0 + place / 100) for place in range(24)]
    many = search_privacy_loss(runs)
    assert many.accountant == "rdp"
    assert many.epsilon_all >= compose_epsilon(runs, accountant="pld")


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "patient"},
        {"neighboring_relation": "replace_one"},
        {"has_privacy_guarantee": False},
    ],
)
def test_two_records_of_one_run_of_two_kinds_have_no_bound(changes):
    assert not spent().at_least(spent(**changes)).has_privacy_guarantee


def test_at_least_holds_both_records():
    one, other = spent(1.0, 5), replace(spent(2.0, 3), delta=1e-6, accountant="rdp")
    both = one.at_least(other)
    assert (both.delta, both.accountant) == (1e-6, "rdp")
    assert sorted(
        times for _, times in dp_events.leaves(stored_events.from_json(both.event)).values()
    ) == [3, 5]
    assert spent(1.0, 5).at_least(spent(1.0, 3)).event == event(1.0, 5)
    assert spent(1.0, 3).at_least(spent(1.0, 5)).event == event(1.0, 5)


def test_litter_beside_the_records_goes_with_the_next_run(losses, killed_while):
    losses.begin(loss(), resumes=False)

    def work():
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        losses.begin(loss("/runs/b"), resumes=False)

    killed_while(work)
    assert len(list(losses._folder.glob(".*.part"))) == 1
    losses.begin(loss("/runs/c"), resumes=False)
    assert list(losses._folder.glob(".*.part")) == []
    assert len(losses.all()) == 2
