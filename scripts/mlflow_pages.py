"""Make the screenshots of MLflow's pages in `docs/images/` anew, with a browser that is installed.

    uv run --with playwright python scripts/mlflow_pages.py http://127.0.0.1:5000 EXPERIMENT_ID

The server is that of `ecgexp-ui`, on a store with a few runs and a sweep. Look at the images:
what they show was chosen for one version of MLflow (`ecgexp.tracking.mlflow.runs_view.TESTED`).
"""

import argparse
import json
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ecgexp.cli.streams import command
from ecgexp.tracking.mlflow.runs_view import runs_link

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
_MOST_BYTES = 200_000
# The page opens its assistant on the first visit.
_RETURNING = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("experiment_id")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="executable (%(default)s)")
    parser.add_argument("--wait", type=float, default=8.0, help="seconds a page takes to draw")
    options = parser.parse_args(arguments)
    from playwright.sync_api import sync_playwright

    _FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        for name, (path, height) in _pages(options.address, options.experiment_id).items():
            page = browser.new_page(viewport={"width": 1400, "height": height})
            page.add_init_script(_RETURNING)
            page.goto(path)
            page.wait_for_timeout(1000 * options.wait)
            file = _FOLDER / f"mlflow_{name}.png"
            page.screenshot(path=file)
            page.close()
            print(file, file.stat().st_size)
            if file.stat().st_size > _MOST_BYTES:
                sys.exit(f"{file} is larger than {_MOST_BYTES} bytes; make the page smaller")
        browser.close()
    return 0


def _pages(address: str, experiment_id: str) -> dict[str, tuple[str, int]]:
    """Returns name -> address and height in pixels."""
    runs = _runs(address, experiment_id)
    chosen = json.dumps([run["info"]["run_id"] for run in runs[:3]])
    table = runs_link(address, experiment_id, has_view=True)
    run = f"{address}/#/experiments/{experiment_id}/runs/{runs[0]['info']['run_id']}"
    return {
        "runs": (table, 560),
        "charts": (f"{table}&compareRunsMode=CHART", 800),
        "run": (f"{run}?workflowType=machine_learning", 800),
        "compare": (
            f'{address}/#/compare-runs?runs={chosen}&experiments=["{experiment_id}"]'
            "&workflowType=machine_learning",
            800,
        ),
    }


def _runs(address: str, experiment_id: str) -> list[dict]:
    """Returns the finished runs that have a test score, best first."""
    asked = {
        "experiment_ids": [experiment_id],
        "filter": "attributes.status = 'FINISHED' and metrics.`test/macro_f1` >= 0",
        "order_by": ["metrics.`validation/macro_f1` DESC"],
    }
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/runs/search",
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["runs"]


if __name__ == "__main__":
    sys.exit(main())
