import os
import subprocess
import sys
from typing import Literal

import pytest

from ecgexp.features.inputs import SignalFeatures
from ecgexp.models.cnn1d import Cnn1d
from ecgexp.settings.build import build_node, to_node
from ecgexp.settings.declaration import ConfigError, Count, Positive, build, settings


@settings
class Sample:
    epochs: Count = 3
    mode: Literal["a", "b"] = "a"
    window: tuple[Positive, Positive] = (1.0, 2.0)

    def __post_init__(self):
        if self.epochs == 13:
            raise ValueError("trainer.epochs=13 is unlucky; try trainer.epochs=14")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"epochs": -1},
            r"trainer\.epochs=-1 is not usable: it should be greater than or equal to 1",
        ),
        ({"epcohs": 2}, r"trainer\.epcohs is not a setting; did you mean trainer\.epochs\?"),
        ({"color": 2}, r"trainer\.color is not a setting; there are: epochs, mode, window"),
        ({"mode": "c"}, r"trainer\.mode='c' is not usable: it should be 'a' or 'b'"),
        ({"window": [1, -2]}, r"trainer\.window\.1=-2 is not usable"),
        ({"epochs": 13}, r"^trainer\.epochs=13 is unlucky; try trainer\.epochs=14$"),
        ({"epochs": float("nan")}, r"trainer\.epochs=nan"),
    ],
)
def test_invalid_value_is_refused_with_path_and_remedy(values, message):
    with pytest.raises(ConfigError, match=message):
        build(Sample, values, path="trainer")


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Sample().epochs = 4


def test_error_in_nested_settings_has_the_full_path():
    with pytest.raises(ConfigError, match=r"model\.dropout=1\.5 is not usable"):
        build_node({"model": {"_target_": "ecgexp.models.Cnn1d", "dropout": 1.5}})


@pytest.mark.parametrize(
    "value", [Cnn1d(filters=(4, 8), kernel_sizes=(3, 5)), SignalFeatures(rr=True)]
)
def test_settings_are_equal_after_json(value):
    assert build_node(to_node(value)) == value


def test_settings_import_no_heavy_library():
    code = (
        "import sys, ecgexp.config.compose; "
        "print([m for m in ('tensorflow', 'mlflow', 'wfdb', 'sklearn', 'scipy', 'pandas', "
        "'matplotlib') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
