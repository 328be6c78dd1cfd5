import numpy as np

from ecgexp.seeding import Seeds


def test_a_stream_is_known_by_its_name_and_seed():
    draw = lambda seed, name: Seeds(seed).generator(name).random(4)  # noqa: E731
    np.testing.assert_array_equal(draw(0, "split"), draw(0, "split"))
    assert not np.array_equal(draw(0, "split"), draw(0, "order/1"))
    assert not np.array_equal(draw(0, "split"), draw(1, "split"))


def test_integers_fit_libraries_that_want_31_bits():
    values = [Seeds(0).integer(f"name {i}") for i in range(1000)]
    assert min(values) >= 0
    assert max(values) < 2**31
    assert (
        len(set(values)) > 990
    )  # birthday bound: one collision in 2**31 is expected once in 4 000 runs
