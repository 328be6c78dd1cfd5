import re

import pytest

from ecgexp.evaluation.names import better_by, metric_name, metric_names

MITDB_BEAT_SYMBOLS = (
    "N",
    "L",
    "R",
    "V",
    "/",
    "A",
    "f",
    "F",
    "j",
    "a",
    "E",
    "J",
    "Q",
    "e",
    "S",
    "!",
    "|",
    "[",
    "]",
    "~",
    '"',
)


def test_paced_beats_have_a_name_without_a_slash():
    assert metric_name("/") == "paced"


def test_ordinary_names_stay_as_they_are():
    assert [metric_name(name) for name in ("N", "SVEB", "left bundle", "n-1_b")] == [
        "N",
        "SVEB",
        "left bundle",
        "n-1_b",
    ]


def test_every_symbol_of_the_database_becomes_a_unique_name_that_mlflow_accepts():
    names = metric_names(MITDB_BEAT_SYMBOLS)
    assert len(set(names)) == len(MITDB_BEAT_SYMBOLS)
    assert all(re.fullmatch(r"[A-Za-z0-9_\-.: ]+", name) for name in names)


def test_two_classes_that_would_share_a_key_are_refused():
    with pytest.raises(
        ValueError, match=r"the classes / and paced would share the metric name paced; rename one"
    ):
        metric_names(("/", "paced"))


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("loss", "min"),
        ("test/loss", "min"),
        ("validation/expected_calibration_error", "min"),
        ("privacy/epsilon", "min"),
        ("macro_f1", "max"),
        ("f1/V", "max"),
        ("test/sensitivity/S", "max"),
        ("validation/clients/accuracy_worst_decile", "max"),
        ("clients/accuracy_mean", "max"),
        ("support/V", None),
        ("resources/seconds", None),
        ("nonsense", None),
    ],
)
def test_direction_of_a_metric_is_known(metric, mode):
    assert better_by(metric) == mode
