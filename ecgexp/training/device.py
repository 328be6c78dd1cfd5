"""The device of a run: CPU or GPUs, precision, and determinism."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, Whole, settings
from ecgexp.settings.installation import install_extra
from ecgexp.training.device_driver import why_no_gpu


@settings
class Device:
    """The device settings of a run.

    Attributes:
      kind: `auto` uses the GPUs if there are any, else the CPU; `gpu` requires one.
      mixed_precision: float16 activations with loss scaling on a GPU; refused under privacy, where
        skipped steps would depend on data.
      deterministic: use operations that give the same bits every time; slower.
      xla: compile for a GPU with XLA. Refused on a CPU, where it makes the gradients of
        convolutions several times slower.
      cpu_devices: logical CPU devices; more than one tests the multi-device path without a GPU.

    Raises:
      ConfigError: XLA was requested for the CPU.

    Example:
      >>> Device(kind="cpu").mixed_precision
      False
    """

    kind: Literal["auto", "cpu", "gpu"] = "auto"
    mixed_precision: bool = False
    deterministic: bool = False
    xla: bool = False
    cpu_devices: Annotated[Whole, Field(ge=1, le=64)] = 1

    def __post_init__(self):
        if self.kind == "cpu" and self.xla:
            raise _xla_on_cpu()

    def check_available(self) -> None:
        """Check, before TensorFlow is imported, that the driver has the GPU that the settings need.

        `strategy` checks again that TensorFlow can use it.

        Raises:
          ConfigError: a GPU, or a setting for a GPU only, was requested and the driver has none.
        """
        if self.kind != "gpu" and not self.xla:
            return
        why = why_no_gpu()
        if why and self.kind == "gpu":
            raise ConfigError(f"device=gpu: {why}; check `nvidia-smi`, or use device=cpu.")
        if why:
            raise _xla_on_cpu()

    def strategy(self) -> Any:
        """Configure TensorFlow and return the strategy in whose scope the run builds its variables.

        Returns:
          A `tf.distribute.Strategy`.

        Raises:
          ConfigError: a GPU, or a setting for a GPU only, was requested and none is available.
        """
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU") if self.kind != "cpu" else []
        if self.kind == "gpu" and not gpus:
            raise ConfigError(
                "device=gpu: TensorFlow finds no GPU; "
                f"{install_extra('gpu')} to get the CUDA libraries, check `nvidia-smi`, or use "
                "device=cpu."
            )
        if self.xla and not gpus:
            raise _xla_on_cpu()
        _configure(gpus, self.cpu_devices, hide_gpus=self.kind == "cpu")
        if self.deterministic:
            tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_jit("autoclustering" if self.xla else False)
        tf.keras.mixed_precision.set_global_policy(
            "mixed_float16" if self.mixed_precision and gpus else "float32"
        )
        names = [f"GPU:{i}" for i in range(len(gpus))] or [
            f"CPU:{i}" for i in range(self.cpu_devices)
        ]
        return (
            tf.distribute.MirroredStrategy(names)
            if len(names) > 1
            else tf.distribute.get_strategy()
        )


def _xla_on_cpu() -> ConfigError:
    return ConfigError(
        "device.xla=true: XLA needs a GPU, and the run would use a CPU; use device.xla=false."
    )


def _configure(gpus: list[Any], cpu_devices: int, *, hide_gpus: bool) -> None:
    """Set what TensorFlow accepts only before its first operation.

    A second run of a sweep in the same process finds these settings in place.
    """
    import tensorflow as tf

    try:
        if hide_gpus:
            tf.config.set_visible_devices([], "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        if cpu_devices > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices
            )
    except RuntimeError as error:
        if cpu_devices > 1 and len(tf.config.list_logical_devices("CPU")) != cpu_devices:
            raise ConfigError(
                f"device.cpu_devices={cpu_devices}: TensorFlow has started with another number "
                f"({error}); use device.cpu_devices={cpu_devices} in a new process."
            ) from error
