"""Symbols are mapped to classes, and dropped beats are counted."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from tiny_records import make_beats

from ecgexp.data.grouping import LabelGrouping
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.settings.location import config_dir

CONF = config_dir() / "grouping"


def shipped(name):
    values = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert values.pop("_target_") == "ecgexp.data.LabelGrouping"
    return build(LabelGrouping, values, path="grouping")


def beats_of(symbols):
    return make_beats(["a"] * len(symbols), labels=np.arange(len(symbols)), classes=tuple(symbols))


def test_unknown_symbols_are_dropped_and_counted():
    table = LabelGrouping(name="two", classes={"V": ("V", "E"), "N": ("N",)})
    beats = table.apply(beats_of("NEQVQ"))
    assert beats.class_names == ("V", "N")
    assert beats.labels.tolist() == [1, 0, 0]
    assert beats.dropped == {"symbol Q": 2}
    assert beats.r_samples.tolist() == [0, 1, 3]


def test_empty_class_is_refused_with_the_symbols_found():
    table = LabelGrouping(name="three", classes={"N": ("N",), "V": ("V",), "F": ("F",)})
    with pytest.raises(
        DataError, match="grouping=three: no beat of class F .*N 2, V 1.*use another grouping"
    ):
        table.apply(beats_of("NNV"))


def test_empty_class_is_dropped_but_two_classes_must_remain():
    table = LabelGrouping(
        name="t", classes={"F": ("F",), "N": ("N",), "V": ("V",)}, empty_class="drop"
    )
    assert table.apply(beats_of("NNV")).class_names == ("N", "V")
    with pytest.raises(DataError, match="no beat of class F, V"):
        table.apply(beats_of("NN"))


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (
            {"N": ["N", "L"], "S": ["L"]},
            r"grouping\.classes\.S: symbol L is in classes N and S",
        ),
        (
            {"N": ["N", "L", "N"], "S": ["A"]},
            r"grouping\.classes\.N=.*N is listed twice, at positions 1 and 3",
        ),
        ({"N": ["N"], "X": ["+"]}, r"grouping\.classes\.X: \+ is not a beat symbol"),
        ({"N": ["N"], "/": ["/"]}, "class name '/' cannot be part of metric and file names"),
        ({"N": ["N"], "V": []}, r"grouping\.classes\.V: the class has no symbol"),
        ({"N": ["N"]}, r"grouping\.classes"),
    ],
)
def test_inconsistent_grouping_is_refused(classes, match):
    with pytest.raises(ConfigError, match=match):
        build(LabelGrouping, {"name": "t", "classes": classes}, path="grouping")


def test_shipped_groupings_have_their_classes():
    assert tuple(shipped("aami5").classes) == ("N", "S", "V", "F", "Q")
    assert tuple(shipped("aami4").classes) == ("N", "S", "V", "F")
    assert list(shipped("nlrvpa6").classes.values()) == [
        ("N",),
        ("L",),
        ("R",),
        ("V",),
        ("/",),
        ("A",),
    ]
    assert set(sum(shipped("binary").classes.values(), ())) == set(
        sum(shipped("aami5").classes.values(), ())
    )
