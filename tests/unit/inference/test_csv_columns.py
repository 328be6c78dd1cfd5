"""Columns of CSV recordings mean what they meant in training, unless the user says otherwise."""

import pytest

from ecgexp.inference.csv_columns import csv_layout
from ecgexp.settings.declaration import ConfigError


def test_layout_is_that_of_the_run_or_typed():
    params = {"dataset.units": "uV", "dataset.recorded_hz": 250.0, "dataset.time_column": "None"}
    found = csv_layout(params, [])
    assert (found.units, found.recorded_hz, found.time_column) == ("uV", 250.0, None)
    found = csv_layout(params, ["dataset.units=mV", "dataset.recorded_hz=null"])
    assert (found.units, found.recorded_hz) == ("mV", None)
    assert csv_layout({"dataset.train.units": "V"}, []).units == "V"


def test_layout_of_parts_is_used_where_they_agree():
    parts = [{"units": "mV", "recorded_hz": 128}, {"units": "mV", "recorded_hz": 250}]
    found = csv_layout({"dataset.parts": parts}, [])
    assert (found.units, found.recorded_hz) == ("mV", None)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("dataset.leads=[II]", r"dataset\.leads.*use one of dataset\.recorded_hz="),
        ("units=mV", r"units=mV.*use one of"),
        ("dataset.units=mmHg", r"dataset\.units"),
        ("dataset.recorded_hz=x", r"dataset\.recorded_hz"),
    ],
)
def test_typed_setting_that_makes_no_sense_is_refused(typed, words):
    with pytest.raises(ConfigError, match=words):
        csv_layout({}, [typed])
