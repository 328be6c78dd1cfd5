"""The kill campaign of `scripts/kill_runs.py` in a short form.

A few kills, each at a different event.
"""

import json
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_runs.py"
CAMPAIGN = """
import sys
sys.path.insert(0, {folder!r})
import kill_runs
sys.exit(kill_runs.main())
"""


@pytest.mark.tf
@pytest.mark.slow
def test_private_run_killed_at_its_end_equals_a_complete_one(tmp_path):
    words = [
        "--scenarios",
        "dp",
        "--stages",
        "checkpoint",
        "delivery",
        "end",
        "--kills",
        "3",
        "--seed",
        "15",  # with it one sequence is killed in all three stages
    ]
    code = CAMPAIGN.format(folder=str(SCRIPT.parent))
    done = preloaded.run(*words, "--out", tmp_path, cwd=tmp_path, code=code)
    assert done.returncode == 0, done.stdout + done.stderr
    sequences = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert sum(len(one["kills"]) for one in sequences) >= 3
    assert [one["faults"] for one in sequences] == [[]] * len(sequences)


def test_help_of_the_campaign_says_what_is_killed_and_compared():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    for word in ("private_sweep", "processes", "--seed", "--out", "delivery", "temporary files"):
        assert word in done.stdout
