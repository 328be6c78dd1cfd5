"""Per-step randomness: views, augmentation and dropout inside a private step (not sample or noise).

The random numbers of beats are assigned by their place in the batch, so one more beat changes the
numbers of all beats after it. If an adversary knew the numbers, the sum of clipped gradients could
change by far more than one clipping norm. If not, all places are exchangeable: after a permutation
of the places, the sum changes by the clipped gradient of one beat. Under a privacy guarantee the
numbers therefore come from the entropy of the operating system, as sample and noise do, and not
from the logged seed of the run.

The random numbers of a client follow from its id and the round, so one more client does not change
those of the others, with or without a privacy guarantee.
"""

import hashlib
import secrets

import numpy as np

from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.seeding import Seeds

_VIEWS, _DROPOUT = 0, 1  # counter words that keep the two kinds of streams apart


class StepRandomness:
    """Two random streams for each step and one for each client of a round.

    A stream is addressed by its step, or by client id and round; a checkpoint stores nothing of
    them.

    **Guarantees**: under a privacy guarantee no number can be recomputed from the seed; what
    `of_client` returns for one client does not depend on any other client
    (`tests/unit/training/test_units.py`, `tests/unit/training/federated/test_cohort.py`).

    Args:
      plan: says whether there is a privacy guarantee; then a resumed run continues with other
        random numbers, which is as private and not repeatable.
      seeds: the random streams of the run; they decide the numbers without a privacy guarantee.
    """

    def __init__(self, plan: PrivacyPlan, seeds: Seeds):
        run_key = seeds.generator("coins").integers(0, 2**64, size=2, dtype=np.uint64)
        self._key = secrets.randbits(128) if plan.has_privacy_guarantee else run_key

    def of_step(self, step: int) -> np.random.Generator:
        """Return the stream for the views of the 0-based `step` and their augmentation."""
        return self._stream(_VIEWS, step)

    def of_dropout(self, step: int) -> int:
        """Return the 63-bit seed of the dropout generators in the 0-based `step`."""
        return int(self._stream(_DROPOUT, step).integers(2**63))

    def of_client(self, client_id: str, round_num: int) -> np.random.Generator:
        """Return the stream of one client in the 1-based round.

        It does not depend on other clients.
        """
        key = (
            self._key.to_bytes(16, "little") if isinstance(self._key, int) else self._key.tobytes()
        )
        own = hashlib.blake2b(
            f"client/{round_num}/{client_id}".encode(), key=key, digest_size=16
        ).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(own, "little")))

    def __reduce__(self):
        raise TypeError(
            "StepRandomness is never serialized: its key reveals which beat got which random "
            "numbers"
        )

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, kind, number]))
