"""What the NVIDIA driver says about the GPUs of this machine, without TensorFlow."""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_LIBRARY = "libcuda.so.1"  # the one that TensorFlow loads
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def why_no_gpu(
    environment: Mapping[str, str] = os.environ,
    load: Callable[[str], Any] = ctypes.CDLL,
    platform: str = sys.platform,
) -> str:
    """Return why TensorFlow will find no GPU; empty if the driver has one, or cannot be asked.

    TensorFlow asks the same library the same question, after an import of many seconds. A GPU that
    the driver has can still be unusable for TensorFlow, if the CUDA libraries are missing.

    Args:
      environment: environment variables.
      load: loads a library; raises OSError if it cannot.
      platform: as `sys.platform`. Elsewhere than on Linux, TensorFlow decides.

    Example:
      >>> why_no_gpu({"CUDA_VISIBLE_DEVICES": "-1"}, platform="linux")
      'CUDA_VISIBLE_DEVICES=-1 hides the GPUs'
    """
    if platform != "linux":
        return ""
    visible = environment.get(_VISIBLE)
    # CUDA ends the list of devices at the first that does not exist.
    if visible is not None and visible.split(",")[0].strip() in ("", "-1", "NoDevFiles"):
        return f"{_VISIBLE}={visible} hides the GPUs"
    try:
        driver = load(_LIBRARY)
    except OSError:
        return f"no NVIDIA driver is installed ({_LIBRARY} cannot be loaded)"
    count = ctypes.c_int(0)
    error = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if error and error != _NO_DEVICE:
        return f"the NVIDIA driver does not start (CUDA error {error})"
    if error or not count.value:
        return "the NVIDIA driver finds no GPU"
    return ""
