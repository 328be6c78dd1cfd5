"""The random numbers inside a private step that are neither sample nor noise: which views, how they change, what is dropped.

Those of beats are dealt by place in the batch, so one more beat deals other numbers to all beats after it. To someone who knows
the numbers the sum of clipped gradients could then move by far more than one clip. To someone who does not, every place is alike:
rename the places, and the sum moves by one beat's clipped gradient again. So under a claim they follow from the operating
system's entropy, as sample and noise do, and not from the run's logged seed.

Those of clients are found by the client's id and the round, so one more client changes nobody else's, claim or not.
"""

import hashlib
import secrets

import numpy as np

from ecgexp.privacy.plan import PrivacyPlan
from ecgexp.seeding import Seeds

_VIEWS, _DROPOUT = 0, 1  # counter words that keep the two kinds of streams apart


class StepRandomness:
    """Two streams for each step and one for each client of a round, found by number and name: a checkpoint keeps nothing of them.

    **Guarantees**: with a claim nobody can recompute a number; what `of_client` gives one client depends on no other
    (`tests/training/test_units.py`, `tests/training/federated/test_cohort.py`).

    Args:
      plan: whether there is a claim; then a resumed run goes on with other coins, which is as private and not repeatable.
      seeds: of the run; decide the coins where there is no claim.
    """

    def __init__(self, plan: PrivacyPlan, seeds: Seeds):
        run_key = seeds.generator("coins").integers(0, 2**64, size=2, dtype=np.uint64)
        self._key = secrets.randbits(128) if plan.has_privacy_guarantee else run_key

    def of_step(self, step: int) -> np.random.Generator:
        """For the views of the 0-based `step` and their augmentation."""
        return self._stream(_VIEWS, step)

    def of_dropout(self, step: int) -> int:
        """(63 bits) Where the dropout generators start in the 0-based `step`."""
        return int(self._stream(_DROPOUT, step).integers(2**63))

    def of_client(self, client_id: str, round_num: int) -> np.random.Generator:
        """For what happens to one client in the 1-based round, whoever else is there."""
        key = (
            self._key.to_bytes(16, "little") if isinstance(self._key, int) else self._key.tobytes()
        )
        own = hashlib.blake2b(
            f"client/{round_num}/{client_id}".encode(), key=key, digest_size=16
        ).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(own, "little")))

    def __reduce__(self):
        raise TypeError(
            "coins are never serialised: whoever reads their key knows who was dealt what"
        )

    def _stream(self, kind: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, kind, number]))
