"""What is refused before TensorFlow is imported."""

import pytest

from ecgexp.config import load_experiment
from ecgexp.settings.declaration import ConfigError
from ecgexp.training import device
from ecgexp.training.device import Device
from ecgexp.training.device_driver import why_no_gpu


class Driver:
    """Stands for the library of the NVIDIA driver."""

    def __init__(self, gpus, *, error=0):
        self._gpus, self._error = gpus, error

    def cuInit(self, flags):  # noqa: N802 - its name in CUDA
        return self._error

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self._gpus
        return 0


def no_library(name):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("environment", "load", "why"),
    [
        ({}, no_library, "no NVIDIA driver is installed"),
        ({}, lambda name: Driver(0), "the NVIDIA driver finds no GPU"),
        ({}, lambda name: Driver(0, error=100), "the NVIDIA driver finds no GPU"),
        ({}, lambda name: Driver(1, error=803), "CUDA error 803"),
        ({"CUDA_VISIBLE_DEVICES": ""}, lambda name: Driver(2), "CUDA_VISIBLE_DEVICES= hides"),
        ({"CUDA_VISIBLE_DEVICES": "-1,0"}, lambda name: Driver(2), "CUDA_VISIBLE_DEVICES=-1,0"),
    ],
)
def test_driver_without_a_usable_gpu_says_why(environment, load, why):
    assert why in why_no_gpu(environment, load, "linux")


def test_driver_with_a_gpu_is_no_obstacle():
    assert not why_no_gpu({"CUDA_VISIBLE_DEVICES": "1"}, lambda name: Driver(1), "linux")


def test_driver_is_not_asked_where_tensorflow_uses_none():
    assert not why_no_gpu({}, no_library, "darwin")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gpu"}, "device=gpu: no driver; .*device=cpu"),
        ({"xla": True}, "device.xla=true: .*device.xla=false"),
    ],
)
def test_missing_gpu_is_refused_without_tensorflow(monkeypatch, settings, message):
    monkeypatch.setattr(device, "why_no_gpu", lambda: "no driver")
    with pytest.raises(ConfigError, match=message):
        Device(**settings).check_available()


def test_missing_gpu_is_no_obstacle_to_the_automatic_device(monkeypatch):
    monkeypatch.setattr(device, "why_no_gpu", lambda: "no driver")
    Device().check_available()


def test_xla_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match="device.xla=true: .*device.xla=false"):
        load_experiment(["device=cpu", "device.xla=true"])
