"""Gaussian noise for differential privacy, from a secret key, at a few nanoseconds per value.

Numbers come from Philox4x64-10, with a key of 128 bits of the operating system's entropy that is
never logged, serialized or printed. Each call and each block of a call has its own counter range,
so values do not depend on the number of threads.

Values are computed in float64 by the Box-Muller transform. The radius comes from a 53-bit uniform
number, so the tail reaches 8.57 standard deviations (a larger value has a probability of 1e-17;
float32 generators stop at 5.68). The angle is computed through tan, which numpy vectorizes, unlike
its float64 sine. Only the final value is rounded to float32. 5.6 million values take 32 ms of one
core; numpy's ziggurat takes 62 ms. The values of the next call are drawn in the background while
the gradient is computed.

Limitations: Philox is not a cryptographic generator, and the guarantee is proved for real numbers;
rounding in floating point is not modeled. Both limitations are common in DP-SGD libraries.
"""

import math
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ecgexp.interruption import postponed
from ecgexp.privacy.plan import PrivacyPlan

_BLOCK = 1 << 18  # values of one task
_CHUNK = 1 << 15  # values at a time, so that the scratch arrays stay in the core's cache


class NoiseSource:
    """A stream of independent Gaussian vectors, one for each call of `normal`.

    **Guarantees**: without a seed, the key comes from the operating system's entropy, is in no
    state, representation or pickle, and is replaced when the source is restored, so that no noise
    is used twice (`tests/unit/privacy/test_noise.py`).

    Args:
      seed: None: a key from the operating system's entropy. A number makes the noise repeatable,
        for simulations and tests.
      threads: number of threads that draw; None: one per core, four at most.

    Example:
      >>> values = NoiseSource().normal(10_000, std=2.0)
      >>> values.shape, 1.9 < values.std() < 2.1
      ((10000,), True)
    """

    def __init__(self, seed: int | None = None, *, threads: int | None = None):
        self.is_simulation = seed is not None
        self._seed = seed
        self._key = self._new_key()
        self._calls = 0
        self._pool = ThreadPoolExecutor(
            threads or min(4, os.cpu_count() or 1), thread_name_prefix="noise"
        )
        self._ahead: tuple[tuple[int, int, float], np.ndarray, list[Future]] | None = None

    @classmethod
    def of(cls, plan: PrivacyPlan) -> "NoiseSource":
        """Create the noise source of `plan`; it is seeded only in a simulation."""
        return cls(plan.noise_seed)

    def normal(self, size: int, std: float) -> np.ndarray:
        """Draw a vector of independent values from N(0, std²).

        Args:
          size: number of values.
          std: standard deviation.

        Returns:
          (size,) float32; every call returns new values.

        Raises:
          ValueError: `std` is negative or not finite.
        """
        if not (math.isfinite(std) and std >= 0):
            raise ValueError(f"std={std} must be finite and not negative")
        call, self._calls = self._calls, self._calls + 1
        if std == 0:
            return np.zeros(size, np.float32)
        if self._ahead is None or self._ahead[0] != (call, size, std):
            self._ahead = self._begin(call, size, std)
        _, values, tasks = self._ahead
        for task in tasks:
            task.result()
        self._ahead = self._begin(call + 1, size, std)
        return values

    def normal_like(self, shapes: Sequence[Sequence[int]], std: float) -> list[np.ndarray]:
        """Draw one array of `normal` values for each shape, e.g. of a model's weights.

        Args:
          shapes: of the arrays.
          std: standard deviation.

        Returns:
          One float32 array per shape; they are views of one vector.
        """
        sizes = [math.prod(shape) for shape in shapes]
        parts = np.split(self.normal(sum(sizes), std), np.cumsum(sizes)[:-1]) if sizes else []
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def state(self) -> dict[str, int]:
        """Return the state for a checkpoint: the number of calls, and no key."""
        return {"calls": self._calls}

    def restore(self, state: dict[str, int]) -> None:
        """Continue after the calls in `state`; without a seed, with a new key.

        The new key ensures that no noise is used twice.
        """
        self._calls, self._key, self._ahead = int(state["calls"]), self._new_key(), None

    def __reduce__(self):
        raise TypeError(
            "a noise source is never serialized, because its key would allow subtracting the "
            "noise; use state()"
        )

    def __repr__(self) -> str:
        return f"NoiseSource(is_simulation={self.is_simulation}, calls={self._calls})"

    def _new_key(self) -> int | np.ndarray:
        if self._seed is None:
            return secrets.randbits(128)
        return np.random.SeedSequence(self._seed).generate_state(2, np.uint64)

    def _begin(
        self, call: int, size: int, std: float
    ) -> tuple[tuple[int, int, float], np.ndarray, list[Future]]:
        values = np.empty(size, np.float32)
        with postponed():  # a task may start a thread
            tasks = [
                self._pool.submit(
                    _fill, values[first : first + _BLOCK], std, self._key, (0, 0, block, call)
                )
                for block, first in enumerate(range(0, size, _BLOCK))
            ]
        return (call, size, std), values, tasks


def _fill(values: np.ndarray, std: float, key: int | np.ndarray, counter: tuple[int, ...]) -> None:
    rng = np.random.Generator(np.random.Philox(key=key, counter=list(counter)))
    radius, angle, share = np.empty((3, _CHUNK // 2))
    for first in range(0, len(values), _CHUNK):
        part = values[first : first + _CHUNK]
        half = (len(part) + 1) // 2
        _box_muller(rng, part, std, radius[:half], angle[:half], share[:half])


def _box_muller(
    rng: np.random.Generator,
    out: np.ndarray,
    std: float,
    radius: np.ndarray,
    tangent: np.ndarray,
    share: np.ndarray,
) -> None:
    """Fill `out`; with t = tan(a / 2): cos a = 2 / (1 + t²) - 1 and sin a = 2 t / (1 + t²)."""
    half = len(radius)
    rng.random(out=radius)
    np.subtract(1.0, radius, out=radius)  # (0, 1]: the logarithm is finite
    np.log(radius, out=radius)
    np.multiply(radius, -2.0 * std * std, out=radius)
    np.sqrt(radius, out=radius)
    rng.random(out=tangent)
    np.subtract(tangent, 0.5, out=tangent)
    np.multiply(tangent, math.pi, out=tangent)
    np.tan(tangent, out=tangent)
    np.multiply(tangent, tangent, out=share)
    np.add(share, 1.0, out=share)
    np.divide(radius, share, out=share)
    np.multiply(share, 2.0, out=share)  # 2 r / (1 + t²)
    np.subtract(share, radius, out=out[:half], casting="unsafe")
    rest = len(out) - half
    np.multiply(share[:rest], tangent[:rest], out=out[half:], casting="unsafe")
