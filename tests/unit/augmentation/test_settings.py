import subprocess
import sys

import numpy as np
import pytest
import yaml

from ecgexp.augmentation import (
    Augmentation,
    Chain,
    Crops9,
    ImageAugmentation,
    NoAugmentation,
    SignalAugmentation,
)
from ecgexp.augmentation.base import keeps_rows_apart, views_by_label
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, build
from ecgexp.settings.location import config_dir

CONF = config_dir() / "augmentation"
CLASSES = ("N", "S", "V")
LABELS = np.array([0, 1, 0, 2])


def load(name):
    return build_node(yaml.safe_load((CONF / f"{name}.yaml").read_text()), "augmentation")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", NoAugmentation()),
        ("crops9", Crops9()),
        ("image", ImageAugmentation()),
        ("signal", SignalAugmentation()),
    ],
)
def test_the_yaml_states_the_defaults_and_its_own_name(name, expected):
    assert load(name) == expected
    assert load(name).name == name


def test_replication_is_crops_then_rotation_and_flips():
    replicated = load("replication")
    assert replicated.name == "crops9+image"
    assert replicated.num_views == 10
    assert replicated.steps[1].max_rotation_degrees == 180
    assert replicated.steps[1].rotation_probability == replicated.steps[1].flip_probability == 0.3


def test_every_yaml_builds_an_augmentation_and_survives_the_way_to_plain_values_and_back():
    found = sorted(path.stem for path in CONF.glob("*.yaml"))
    assert found == ["crops9", "image", "none", "replication", "signal"]
    for name in found:
        assert isinstance(load(name), Augmentation)
        assert build_node(to_node(load(name))) == load(name)


def test_importing_the_settings_does_not_import_tensorflow():
    code = "import ecgexp.augmentation, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("none", set()),
        ("crops9", {"image"}),
        ("image", {"image"}),
        ("signal", {"signal"}),
        ("replication", {"image"}),
    ],
)
def test_each_says_which_features_it_changes(name, features):
    assert load(name).features == features


@pytest.mark.parametrize(
    "augmentation", [NoAugmentation(), ImageAugmentation(), SignalAugmentation()]
)
def test_all_but_crops_show_every_beat_once(augmentation):
    rows, views = augmentation.expand(LABELS, CLASSES)
    assert rows.tolist() == [0, 1, 2, 3]
    assert views.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("augmentation", [Crops9(), Chain(steps=(ImageAugmentation(), Crops9()))])
def test_crops_show_ten_views_of_every_class_but_the_exceptions(augmentation):
    rows, views = augmentation.expand(LABELS, CLASSES)
    assert rows.tolist() == [0] + [1] * 10 + [2] + [3] * 10
    assert views.tolist() == [0, *range(10), 0, *range(10)]
    assert (rows.dtype, views.dtype) == (np.int64, np.int32)


def test_crops_of_all_classes_and_of_no_beats():
    rows, views = Crops9(except_classes=()).expand(LABELS, CLASSES)
    assert np.bincount(rows).tolist() == [10] * 4
    rows, views = Crops9().expand(LABELS[:0], CLASSES)
    assert len(rows) == len(views) == 0


def test_a_class_that_the_grouping_does_not_make_is_refused():
    with pytest.raises(
        ConfigError, match=r"except_classes names X, and the classes are N, S, V; try .*=\[N\]"
    ):
        Crops9(except_classes=("X",)).expand(LABELS, CLASSES)


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (Crops9, {"crop_size": 0}, r"augmentation\.crop_size=0 is not usable"),
        (
            ImageAugmentation,
            {"rotation_probability": 1.1},
            r"augmentation\.rotation_probability=1\.1 is not usable",
        ),
        (
            ImageAugmentation,
            {"max_rotation_degrees": 181},
            r"augmentation\.max_rotation_degrees=181 is not usable",
        ),
        (
            ImageAugmentation,
            {"flips": ["diagonal"]},
            r"augmentation\.flips\.0='diagonal' is not usable",
        ),
        (ImageAugmentation, {"flips": []}, r"augmentation\.flips=\[\] is not usable"),
        (
            ImageAugmentation,
            {"min_crop_fraction": 0},
            r"augmentation\.min_crop_fraction=0 is not usable",
        ),
        (ImageAugmentation, {"rotations": 1}, r"augmentation\.rotations is not a setting"),
        (SignalAugmentation, {"noise_std": -1}, r"augmentation\.noise_std=-1 is not usable"),
        (
            SignalAugmentation,
            {"max_gain_change": 1.0},
            r"augmentation\.max_gain_change=1\.0 is not usable",
        ),
        (
            SignalAugmentation,
            {"wander_cycles": [0.3, 0.1]},
            r"wander_cycles=\[0\.3,0\.1\] must rise",
        ),
        (Chain, {"steps": []}, r"augmentation\.steps=\[\] is not usable"),
        (Chain, {"steps": ["crops9"]}, "holds 'crops9', which is no augmentation"),
        (
            Chain,
            {"steps": [Crops9(), Crops9()]},
            r"augmentation\.steps=.*crops9 is listed twice, at positions 1 and 2",
        ),
        (
            ImageAugmentation,
            {"flips": ["both", "both"]},
            r"augmentation\.flips=.*both is listed twice",
        ),
        (
            Crops9,
            {"except_classes": ["N", "N"]},
            r"augmentation\.except_classes=.*N is listed twice",
        ),
    ],
)
def test_values_out_of_bounds_are_refused(make, values, message):
    with pytest.raises(ConfigError, match=message):
        build(make, values, path="augmentation")


OWN = [
    NoAugmentation(),
    Crops9(),
    ImageAugmentation(),
    SignalAugmentation(),
    Chain(steps=(Crops9(), ImageAugmentation())),
]


@pytest.mark.parametrize("augmentation", OWN, ids=lambda augmentation: augmentation.name)
def test_views_by_label_are_those_that_expand_lists(augmentation):
    for labels in (LABELS, LABELS[:0]):
        for found, expected in zip(
            views_by_label(augmentation, labels, CLASSES),
            augmentation.expand(labels, CLASSES),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
    assert keeps_rows_apart(augmentation)


class Balanced(NoAugmentation):
    """Shows rare classes more often, so that a row's views depend on the rows beside it."""

    name = "balanced"

    def expand(self, labels, class_names):
        times = np.bincount(labels).max() // np.bincount(labels)[labels]
        return np.repeat(np.arange(len(labels)), times), np.concatenate(
            [np.arange(n, dtype=np.int32) for n in times]
        )


def test_views_by_label_depend_on_no_other_row():
    rows, views = views_by_label(Balanced(), LABELS, CLASSES)
    np.testing.assert_array_equal(rows, np.arange(4))
    np.testing.assert_array_equal(views, np.zeros(4))
    assert not keeps_rows_apart(Balanced())
    assert not keeps_rows_apart(Chain(steps=(Crops9(), Balanced())))
