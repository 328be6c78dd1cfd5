"""Annotations of a record are read with the symbols of the training."""

import pytest

from ecgexp.data.formats.labels import Labels
from ecgexp.inference.symbol_labels import names_in, trained_labels

OWN = {"symbols_from": "aux_note_or_symbol", "symbols": {"PVC": "V"}}


@pytest.mark.parametrize("part", ["", "train.", "test."])
def test_symbols_of_one_dataset_are_used(part):
    params = {
        f"dataset.{part}symbols_from": "aux_note_or_symbol",
        f"dataset.{part}symbols.PVC": "V",
        "dataset.symbolism": 1,
    }
    assert names_in(params) == list(params)[:2]
    assert trained_labels(params) == Labels(
        symbols_from="aux_note_or_symbol", symbols=OWN["symbols"]
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([OWN, OWN], Labels(**OWN)),
        ([OWN, {"database": "mitdb"}], Labels(**OWN)),
        ([OWN, {"symbols_from": "symbol"}], Labels()),
        ([], Labels()),
    ],
)
def test_symbols_of_parts_are_used_if_they_agree(parts, expected):
    assert trained_labels({"dataset.parts": parts}) == expected


def test_symbols_of_two_datasets_that_differ_are_those_of_wfdb():
    params = {"dataset.train.symbols.PVC": "V", "dataset.test.symbols.PVC": "A"}
    assert trained_labels(params) == Labels()
