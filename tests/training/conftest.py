import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `toy`; tests are not a package


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run_in(request, tmp_path, cache):
    """(words…) -> result, what `result.json` holds, the lines of `metrics.jsonl`; after `SMALL` of the test's module."""
    from ecgexp.config.compose import load_experiment
    from ecgexp.experiment.run import run

    def go(*words):
        result = run(
            load_experiment([*request.module.SMALL, f"data.cache_dir={cache}", *words]), tmp_path
        )
        lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        return result, json.loads((tmp_path / "result.json").read_text()), lines

    return go
