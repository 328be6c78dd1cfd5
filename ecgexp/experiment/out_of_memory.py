"""Errors for lack of memory, as one line with a batch size that fits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ecgexp.experiment.memory import MemoryEstimate
from ecgexp.experiment.plan_text import gigabytes
from ecgexp.settings.declaration import MachineError
from ecgexp.tracking.resources import memory_limit

_TENSORFLOW = "ResourceExhaustedError"  # tf.errors; TensorFlow is not imported here


@contextmanager
def explained_out_of_memory(
    estimate: MemoryEstimate, limit: Callable[[], int] = memory_limit
) -> Iterator[None]:
    """Convert an error for lack of memory within the block; other errors pass.

    Args:
      estimate: of the memory that the run needs.
      limit: returns the bytes that this process may use in all.

    Raises:
      MachineError: the memory did not suffice; the message has a batch size that fits.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != _TENSORFLOW:
            raise
        raise MachineError(_message(estimate, limit())) from error


def _message(estimate: MemoryEstimate, limit: int) -> str:
    setting, rows = estimate.batch_setting, estimate.rows_at_once
    what = f"{setting}={rows}" if setting else "trainer=fit"
    found = (
        f"{what}: out of memory, of which this process may use {gigabytes(limit)} and "
        f"the run needs about {gigabytes(estimate.total)}; use "
    )
    if rows == 1:
        return found + "a smaller model=, fewer dataset.records=, or a machine with more memory."
    same = ", with the same result" if setting == "trainer.physical_batch_size" else ""
    return found + f"{setting}={estimate.rows_within(limit)}{same}, or a smaller model=."
