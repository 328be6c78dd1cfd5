"""Named, independent random streams derived from one integer seed.

All random numbers of a run come from here, except those that a privacy guarantee rests on: in a
run with a guarantee, noise, sampling, failures of clients and the randomness of a step have secret
keys.
"""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """Independent random streams of one run, each identified by its name.

    A stream depends on the seed and its name only, not on the order in which streams are requested,
    so a new stream does not change the numbers of the others. Under a
    privacy guarantee, noise, sampling and the randomness of a step deliberately do not come from
    these streams (`ecgexp.privacy`, `ecgexp.training.step_randomness`).

    Attributes:
      seed: The seed of the run; 0 is a valid seed.

    Example:
      >>> Seeds(7).integer("model") == Seeds(7).integer("model")
      True
      >>> Seeds(7).integer("model") == Seeds(7).integer("split")
      False
    """

    seed: int

    def sequence(self, name: str) -> np.random.SeedSequence:
        """Return the seed sequence of the stream `name`."""
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32)
        return np.random.SeedSequence([self.seed, *words.tolist()])

    def generator(self, name: str) -> np.random.Generator:
        """Return a new NumPy generator at the start of the stream `name`."""
        return np.random.Generator(np.random.PCG64(self.sequence(name)))

    def integer(self, name: str) -> int:
        """Return a 31-bit integer for libraries that need one, such as Keras initializers."""
        return int(self.sequence(name).generate_state(1)[0] >> 1)
