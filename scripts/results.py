"""Writes the results in docs/results/index.md anew, from the runs in MLflow: tables, the commands behind them, and results/*.svg.

    uv run python scripts/results.py [--store URI] [--only inter_patient privacy looks parity] [--check]

A number that no run stands behind is not written: the script says which command makes it, and exits with 1. `--check` writes
nothing and exits with 1 where the page says something else than the runs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from ecgexp.analysis.results_page.asked import RunIndex
from ecgexp.analysis.results_page.blocks import replace_blocks
from ecgexp.analysis.results_page.ensemble import evaluate_together
from ecgexp.analysis.results_page.measured import evaluations_of_test_set, measure
from ecgexp.analysis.results_page.rows import INTER_PATIENT, PRIVACY
from ecgexp.analysis.results_page.tables import (
    evaluation_log,
    inter_patient_table,
    privacy_table,
)
from ecgexp.cli.streams import command
from ecgexp.replication.gather import check_complete, gather
from ecgexp.replication.reported_epsilon import ladders
from ecgexp.replication.stages import PROTOCOLS, stages
from ecgexp.replication.tables import study_markdown
from ecgexp.settings.declaration import DataError
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.mlflow.quiet import quieten

_ROOT = Path(__file__).resolve().parents[1]
_PARTS = ("inter_patient", "privacy", "evaluations_of_test_set", "parity")


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--store",
        metavar="URI",
        help="where the runs are (MLFLOW_TRACKING_URI, else this folder's)",
    )
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), metavar="PART")
    parser.add_argument(
        "--page", type=Path, default=_ROOT / "docs/results/index.md", help="%(default)s"
    )
    parser.add_argument("--figures", type=Path, default=_ROOT / "results", help="%(default)s")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say whether the page is what the runs say",
    )
    options = parser.parse_args()
    quieten()
    try:
        return _write(options)
    except (DataError, OSError) as error:
        print(f"results: {error}", file=sys.stderr)
        return 1


def _write(options: argparse.Namespace) -> int:
    asked, bodies = RunIndex(options.store), {}
    figures: dict[str, Any] = {}
    if "inter_patient" in options.only:
        measured = measure(INTER_PATIENT, asked)
        bodies["inter_patient"] = inter_patient_table(
            measured, [evaluate_together(one) for one in measured]
        )
    if "privacy" in options.only:
        measured = measure(PRIVACY, asked)
        bodies["privacy"] = privacy_table(measured)
        if not options.check:
            from ecgexp.analysis.results_page.figure import privacy_figure

            figures["privacy_utility"] = privacy_figure(measured)
    if "evaluations_of_test_set" in options.only:
        bodies["evaluations_of_test_set"] = evaluation_log(
            evaluations_of_test_set((*INTER_PATIENT, *PRIVACY), asked)
        )
    if "parity" in options.only:
        study, with_epsilon = gather(stages(PROTOCOLS), [0], asked), ladders()
        check_complete(study, 1)
        bodies["parity"] = study_markdown(study, with_epsilon)
        if not options.check:
            from ecgexp.replication.figure import study_figure

            figures["parity_study"] = study_figure(study, with_epsilon)
    before = options.page.read_text(encoding="utf-8")
    after = replace_blocks(before, bodies)
    if options.check:
        print(
            "the page says what the runs say"
            if after == before
            else "the page is not what the runs say"
        )
        return int(after != before)
    with replacing(options.page) as part:
        part.write_text(after, encoding="utf-8")
    options.figures.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        for form in ("svg", "png"):
            with replacing(options.figures / f"{name}.{form}") as part:
                figure.savefig(part, format=form)
    print(f"{options.page}: {', '.join(bodies)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
