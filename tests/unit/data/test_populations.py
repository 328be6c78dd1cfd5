"""Runs on the same patients have common identifiers, which do not disclose the patients."""

import numpy as np
import pytest
from tiny_records import make_beats

from ecgexp.data.populations import training_population_of
from ecgexp.privacy.keyed_digests import DigestKey

KEY = DigestKey(bytes(32))


def recorded(*, database="own 1", seed=0, shift=0, records=("a", "b"), size=60):
    """Records of patients with an irregular rhythm."""
    rng = np.random.default_rng(seed)
    places = np.concatenate([shift + np.cumsum(rng.integers(200, 400, size)) for _ in ("a", "b")])
    beats = make_beats(np.repeat(["a", "b"], size), database=database, r_samples=places)
    return beats.take(np.isin(beats.record_ids, records))


def share(one, other):
    return bool(training_population_of(one, KEY) & training_population_of(other, KEY))


def test_runs_on_disjoint_records_of_one_database_share():
    assert share(recorded(records=("a",)), recorded(records=("b",)))


def test_versions_of_one_database_share():
    assert share(recorded(database="own 1", seed=1), recorded(database="own 2", seed=2))


def test_databases_of_different_patients_do_not_share():
    assert not share(recorded(database="own 1", seed=1), recorded(database="other 1", seed=2))


@pytest.mark.parametrize(
    "rows", [slice(3, None), slice(None, -7), slice(0, 60)], ids=["start", "end", "one record"]
)
def test_copied_records_under_another_name_share(rows):
    copied = recorded(database="copy 1", shift=12345).take(np.arange(120)[rows])
    assert share(recorded(), copied)


def test_copied_records_without_some_beats_share():
    copied = recorded(database="copy 1").take(np.delete(np.arange(120), [20, 50, 90]))
    assert share(recorded(), copied)


def test_copied_records_with_another_key_are_not_found():
    other = training_population_of(recorded(database="copy 1"), DigestKey(bytes([1]) * 32))
    assert not training_population_of(recorded(), KEY) & other


def test_database_that_is_only_tested_does_not_count():
    both = make_beats(
        ["p/a"] * 20 + ["q/b"] * 20, database="p 1 -> q 1", parts=np.repeat(["train", "test"], 20)
    )
    names = {word for word in training_population_of(both, KEY) if word.startswith("database")}
    assert names == {"database p"}
