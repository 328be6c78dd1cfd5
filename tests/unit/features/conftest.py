import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "scripts" / "benchmarks" / "renderer.py"


@pytest.fixture(scope="session")
def benchmark_script():
    """The benchmark of the renderer, which has the reference plot."""
    spec = importlib.util.spec_from_file_location("renderer_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
