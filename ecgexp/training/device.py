"""Where a run computes: the processor or the graphics cards, in which precision, how repeatably."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ecgexp.settings.declaration import ConfigError, Whole, settings


@settings
class Device:
    """The machine's part of a configuration.

    Attributes:
      kind: `auto` takes the GPUs that are there, else the CPU; `gpu` insists.
      mixed_precision: float16 activations with loss scaling on a GPU; refused under privacy, where skipped steps would depend
        on data.
      deterministic: operations that give the same bits every time, at some cost in speed.
      xla: XLA compiles what it can for a GPU. On a CPU it makes the gradients of convolutions several times slower: refused.
      cpu_devices: logical CPU devices; more than one exercises the multi-device path on a machine without a GPU.
    """

    kind: Literal["auto", "cpu", "gpu"] = "auto"
    mixed_precision: bool = False
    deterministic: bool = False
    xla: bool = False
    cpu_devices: Annotated[Whole, Field(ge=1, le=64)] = 1

    def strategy(self) -> Any:
        """Configures TensorFlow and returns the `tf.distribute.Strategy` under whose scope the run builds its variables.

        Raises:
          ConfigError: a GPU, or what only a GPU is good for, was asked for and none is there.
        """
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU") if self.kind != "cpu" else []
        if self.kind == "gpu" and not gpus:
            raise ConfigError(
                "device=gpu, but TensorFlow sees no GPU: install the CUDA libraries with `uv run --extra gpu ecgexp device=gpu`, "
                "check `nvidia-smi`, or type device=cpu"
            )
        if self.xla and not gpus:
            raise ConfigError(
                "device.xla=true is for a GPU, and the run would be on a CPU; type device.xla=false"
            )
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


def _configure(gpus: list[Any], cpu_devices: int, *, hide_gpus: bool) -> None:
    """Sets what TensorFlow only accepts before its first operation; a second run of a sweep finds it set already."""
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
                f"device.cpu_devices={cpu_devices} must be set before TensorFlow starts: {error}"
            ) from error
