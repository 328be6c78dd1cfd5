"""The notebooks of the documentation run from top to bottom, on small runs in place of theirs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ecgexp.config import load_experiment
from ecgexp.experiment.run import run

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
SMALL = [
    "dataset.num_patients=12",
    "dataset.minutes=0.8",
    "trainer.epochs=1",
    "num_resamples=50",
    "tracking=none",
]
RUNS = {"centralized": [], "private": ["trainer=dp", "privacy.noise_multiplier=1.0"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder in which the runs of the notebooks are there."""
    folder = tmp_path_factory.mktemp("notebooks")
    cache = f"data.cache_dir={folder / '.cache'}"
    for name, overrides in RUNS.items():
        run(load_experiment([*SMALL, cache, *overrides]), folder / "outputs/notebooks" / name)
    return folder


def run_notebook(name, folder):
    """Run a notebook in `folder` and return the text that its cells printed."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=None, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs), outputs


def test_first_experiment_shows_scores_and_predictions(folder):
    printed, outputs = run_notebook("first_experiment.ipynb", folder)
    result = json.loads((folder / "outputs/notebooks/centralized/result.json").read_text())
    assert f"{result['metrics']['test/accuracy']:.3f}" in printed
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") == 1
    assert shown.count("text/html") == 2  # the confusion matrix and the probabilities


def test_privacy_notebook_computes_the_epsilon_of_the_run(folder):
    printed, outputs = run_notebook("privacy_and_comparison.ipynb", folder)
    stored = json.loads((folder / "outputs/notebooks/private/privacy.json").read_text())
    assert f"{stored['epsilon_pld']:.6f} = {stored['epsilon_pld']:.6f}" in printed
    assert stored["statement"] in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert len(list(NOTEBOOKS.glob("*.ipynb"))) == 2


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_refuses_a_run_that_did_not_finish(path, tmp_path, monkeypatch):
    cells = nbformat.read(path, as_version=4).cells
    names = {}
    exec(next(cell.source for cell in cells if "def run_once" in cell.source), names)
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/notebooks/cut", "outputs/notebooks/mitdb/cut"):
        Path(folder).mkdir(parents=True)
    Path("outputs/notebooks/cut/result.json").write_text('{"status": "KILLED"}')
    Path("outputs/notebooks/mitdb/cut/result.json").write_text('{"status": "FINISHED"}')
    with pytest.raises(RuntimeError, match="outputs/notebooks/cut: .*KILLED; delete"):
        names["run_once"]("cut")
    names["DATASET"] = "mitdb"
    assert names["run_once"]("cut") == Path("outputs/notebooks/mitdb/cut")
