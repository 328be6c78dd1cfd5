"""Randomness comes in through this door: named, independent streams spawned from one integer."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """Independent random streams of one run, each known by its name.

    The name, not the order of asking, decides the stream: a new consumer does not shift the numbers of the others.
    Privacy noise is deliberately not among them; it has its own source (`ecgexp.privacy`).

    Attributes:
      seed: the run's seed; 0 is a seed like any other.
    """

    seed: int

    def sequence(self, name: str) -> np.random.SeedSequence:
        """The seed sequence of the stream `name`."""
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32)
        return np.random.SeedSequence([self.seed, *words.tolist()])

    def generator(self, name: str) -> np.random.Generator:
        """A fresh numpy generator at the start of the stream `name`."""
        return np.random.Generator(np.random.PCG64(self.sequence(name)))

    def integer(self, name: str) -> int:
        """A 31-bit integer for libraries that want one, such as Keras initialisers."""
        return int(self.sequence(name).generate_state(1)[0] >> 1)
