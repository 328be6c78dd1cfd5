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


def test_metric_name_of_paced_beats_has_no_slash():
    assert metric_name("/") == "paced"


def test_metric_name_of_ordinary_classes_is_unchanged():
    assert [metric_name(name) for name in ("N", "SVEB", "left bundle", "n-1_b")] == [
        "N",
        "SVEB",
        "left bundle",
        "n-1_b",
    ]


def test_metric_names_of_all_symbols_are_unique_and_valid():
    names = metric_names(MITDB_BEAT_SYMBOLS)
    assert len(set(names)) == len(MITDB_BEAT_SYMBOLS)
    assert all(re.fullmatch(r"[A-Za-z0-9_\-.: ]+", name) for name in names)


def test_metric_names_that_collide_are_refused():
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
def test_better_by_knows_the_direction_of_metrics(metric, mode):
    assert better_by(metric) == mode
