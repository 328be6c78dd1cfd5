import subprocess
import sys

CODE = """
from ecgexp.tracking.resources import PeakMemory
before = PeakMemory()
big = bytearray(300_000_000)
big[::4096] = b"x" * len(big[::4096])
with_big = before.megabytes()
del big
after = PeakMemory()
print(with_big, after.megabytes())
"""


def test_the_peak_is_of_what_came_after_it_was_made():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    with_big, after = map(float, done.stdout.split())
    assert 300 < with_big < 500
    assert after < with_big - 250
