"""Lack of memory is one line with a batch size that fits; other errors pass."""

import pytest

from ecgexp.experiment.memory import MemoryEstimate
from ecgexp.experiment.out_of_memory import explained_out_of_memory
from ecgexp.privacy.publication import is_published
from ecgexp.settings.declaration import MachineError


class ResourceExhaustedError(Exception):
    """Stands for `tf.errors.ResourceExhaustedError`."""


def estimate(setting="trainer.batch_size", rows=1024):
    return MemoryEstimate(
        process=10**9,
        beats=10**9,
        model=0,
        batch=rows * 10**7,
        rows_at_once=rows,
        batch_setting=setting,
    )


@pytest.mark.parametrize("error", [MemoryError(), ResourceExhaustedError("OOM when allocating")])
@pytest.mark.parametrize(
    ("setting", "limit", "remedy"),
    [
        ("trainer.batch_size", 4 * 10**9, "use trainer.batch_size=128, or"),
        ("trainer.client_batch_size", 10**12, "use trainer.client_batch_size=512, or"),
        (
            "trainer.physical_batch_size",
            4 * 10**9,
            "use trainer.physical_batch_size=128, with the same result, or",
        ),
    ],
)
def test_lack_of_memory_names_a_batch_size_that_fits(error, setting, limit, remedy):
    with (
        pytest.raises(MachineError, match=f"^{setting}=1024: out of memory.*{remedy}") as raised,
        explained_out_of_memory(estimate(setting), lambda: limit),
    ):
        raise error
    assert "\n" not in str(raised.value)
    place = raised.traceback[-1].frame.f_globals["__name__"]
    assert is_published("error", f"{place}:MachineError")


def test_lack_of_memory_for_one_row_names_the_model():
    with (
        pytest.raises(MachineError, match="use a smaller model=") as raised,
        explained_out_of_memory(estimate(rows=1), lambda: 10**9),
    ):
        raise MemoryError
    assert "trainer.batch_size=1:" in str(raised.value)


def test_another_error_passes_unchanged():
    with pytest.raises(KeyError, match="x"), explained_out_of_memory(estimate()):
        raise KeyError("x")
