"""What a configuration may ask of the machine."""

import pytest

from ecgexp.cli.doctor_checks import Settings, check_devices
from ecgexp.training import device
from ecgexp.training.device import Device


@pytest.fixture
def jit():
    """Reads TensorFlow's switch, and puts it back."""
    import tensorflow as tf

    yield tf.config.optimizer.get_jit
    tf.config.optimizer.set_jit(False)


@pytest.mark.parametrize("kind", ["cpu", "auto"])
def test_xla_without_a_gpu_is_refused(kind, monkeypatch, jit):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda _: [])
    with pytest.raises(ValueError, match=r"use device\.xla=false"):
        Device(kind=kind, xla=True).strategy()
    assert not jit()


@pytest.mark.parametrize("xla", [True, False])
def test_xla_is_switched_on_a_gpu_by_the_setting_alone(xla, monkeypatch, jit):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda _: ["a GPU"])
    monkeypatch.setattr(device, "_configure", lambda *_, **__: None)
    Device(xla=xla).strategy()
    assert bool(jit()) == xla


def test_devices_are_named(tmp_path):
    settings = Settings(
        data_root=tmp_path / "data",
        store=f"sqlite:///{tmp_path}/mlruns/mlflow.db",
        runs_dir=tmp_path / "outputs",
        close_stale=False,
    )
    (finding,) = check_devices(settings)
    assert finding.what == "GPU"
    assert finding.state in ("good", "note")
