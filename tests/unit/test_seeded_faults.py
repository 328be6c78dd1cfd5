"""Each seeded fault has its place in the package, and the tests that notice it exist."""

from pathlib import Path

import pytest
from seeded_faults import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.subject}: {fault.name}")
def test_seeded_fault_has_one_place_and_existing_tests(fault):
    text = (ROOT / "ecgexp" / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.old) == 1, "change `old` in scripts/seeded_faults.py"
    for name in fault.tests:
        file, _, test = name.partition("::")
        assert test in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_at_least_twenty_faults_are_seeded():
    assert len(FAULTS) >= 20
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
