"""Write all pages, figures and headers that show published results, from `results/`.

    uv run python scripts/results_page.py                    # write everything
    uv run python scripts/results_page.py --check            # write nothing; compare files
    uv run python scripts/results_page.py --add RUN [RUN …]  # first add runs to results/runs.jsonl
    uv run python scripts/results_page.py --ensemble RUN RUN [RUN …]  # first add their ensemble
    uv run python scripts/results_page.py --accounting       # first compute ε of the noise sweep

RUN is the folder of a run or its id in MLflow. Written are docs/results, the table of the README,
two figures, and the comments at the top of the experiment files.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgexp.analysis.find_runs import find_run
from ecgexp.analysis.results_page import rows
from ecgexp.analysis.results_page.blocks import MARKDOWN, YAML, header, replace_block
from ecgexp.analysis.results_page.from_run import published_result
from ecgexp.analysis.results_page.groups import PublishedResults
from ecgexp.analysis.results_page.pages import pages, summary
from ecgexp.analysis.results_page.record import as_json, read_results, write_results
from ecgexp.analysis.results_page.unpublished import note, unpublished
from ecgexp.cli.streams import command
from ecgexp.replication.gather import StageResult, published
from ecgexp.replication.reported_epsilon import Ladder, ladders, read_ladders, write_ladders
from ecgexp.replication.stages import PROTOCOLS, stages
from ecgexp.replication.tables import study_markdown
from ecgexp.settings.declaration import ConfigError, DataError
from ecgexp.storage.atomic import replacing
from ecgexp.tracking.mlflow.existing_store import default_uri
from ecgexp.tracking.settings import MlflowTracking

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ("privacy_utility", "replication_study")


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--add", nargs="+", default=[], metavar="RUN", help="add these runs")
    parser.add_argument(
        "--ensemble", nargs="+", default=[], metavar="RUN", help="add the ensemble of these runs"
    )
    parser.add_argument("--store", metavar="URI", help="MLflow store of the ids")
    parser.add_argument("--accounting", action="store_true", help="compute ε again")
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (%(default)s)")
    options = parser.parse_args()
    if options.check and (options.add or options.ensemble or options.accounting):
        parser.error("--check writes nothing; use it without --add, --ensemble and --accounting")
    try:
        if options.add or options.ensemble:
            _add(options.root, options.add, options.ensemble, options.store)
        if options.accounting:
            write_ladders(options.root / "results/replication_epsilon.jsonl", ladders())
        return _check(options.root) if options.check else _write(options.root)
    except (ConfigError, DataError, OSError) as error:
        print(f"results_page: {error}", file=sys.stderr)
        return 2


def _add(root: Path, runs: Sequence[str], together: Sequence[str], uri: str | None) -> None:
    path = root / "results/runs.jsonl"
    results = read_results(path)
    known = {line.provenance.run for line in results}
    stored = [find_run(run, uri=uri) for run in runs]
    for line in map(published_result, stored):
        if line.provenance.run in known:
            raise DataError(f"--add: run {line.provenance.run} is published; leave it out")
        known.add(line.provenance.run)
        results.append(line)
    if together:
        from ecgexp.analysis.results_page.ensemble import published_ensemble

        results.append(published_ensemble([find_run(run, uri=uri) for run in together]))
    write_results(path, results)
    evaluations = [(run.read_json("result.json") or {}).get("test_evaluation") for run in stored]
    left_out = unpublished(
        MlflowTracking(uri=uri or default_uri()).private_dir(),
        {found["test_set"] for found in evaluations if found},
        known,
    )
    if left_out:
        print(note(left_out), file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The content of `results/`."""

    results: PublishedResults
    study: list[StageResult]
    ladders: list[Ladder]


def read(root: Path) -> Published:
    results = PublishedResults(read_results(root / "results/runs.jsonl"))
    return Published(
        results=results,
        study=published(stages(PROTOCOLS), results),
        ladders=read_ladders(root / "results/replication_epsilon.jsonl"),
    )


def texts(root: Path, known: Published) -> dict[Path, str]:
    """Return path -> text of every generated text file."""
    study = study_markdown(known.study, known.ladders)
    found = {
        root / "docs/results" / name: text for name, text in pages(known.results, study).items()
    }
    for path in sorted((root / "conf/experiment").rglob("*.yaml")):
        name = path.relative_to(root / "conf/experiment").with_suffix("").as_posix()
        found[path] = _with_block(root, path, header(name, known.results), YAML)
    readme = summary(known.results, folder="docs/results/")
    path = root / "README.md"
    return found | {path: _with_block(root, path, readme, MARKDOWN)}


def _with_block(root: Path, path: Path, body: str, marks: tuple[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    return replace_block(text, body, marks=marks, name=str(path.relative_to(root)))


def digest(name: str, known: Published) -> str:
    """Return the SHA-256 of the results that a figure shows, which its file contains."""
    shown: Any
    if name == "privacy_utility":
        groups = [known.results.group(row.experiment, row.overrides) for row in rows.PRIVACY]
        shown = [[as_json(line) for line in group.lines] + [group.stale] for group in groups]
    else:
        shown = [[dict(run.metrics) for run in one.runs] for one in known.study]
        shown += [vars(ladder) for ladder in known.ladders]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _outdated_texts(root: Path, known: Published) -> dict[Path, str]:
    """Return the texts that differ from their files."""
    return {
        path: text
        for path, text in texts(root, known).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def _outdated_figures(root: Path, known: Published) -> list[str]:
    """Return the names of figures that show other results or are missing."""
    return [
        name
        for name in FIGURES
        if not (path := root / "results" / f"{name}.svg").is_file()
        or digest(name, known) not in path.read_text(encoding="utf-8")
    ]


def _check(root: Path) -> int:
    known = read(root)
    different = [str(path.relative_to(root)) for path in _outdated_texts(root, known)]
    different += [f"results/{name}.svg" for name in _outdated_figures(root, known)]
    for path in different:
        print(f"{path}: it differs from results/; use scripts/results_page.py to write it")
    if not different:
        print("all pages, headers and figures agree with results/")
    return int(bool(different))


def _write(root: Path) -> int:
    known = read(root)
    for path, text in _outdated_texts(root, known).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
        print(path.relative_to(root))
    for name in _outdated_figures(root, known):
        about = {"Date": None, "Description": f"sha256 {digest(name, known)}"}
        with replacing(root / "results" / f"{name}.svg") as part:
            figure(name, known).savefig(part, format="svg", metadata=about)
        print(f"results/{name}.svg")
    return 0


def figure(name: str, known: Published) -> Any:
    """Return the matplotlib figure of that name."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "ecgexp"
    if name == "replication_study":
        from ecgexp.replication.figure import study_figure

        return study_figure(known.study, known.ladders)
    from ecgexp.analysis.results_page.figure import privacy_figure

    groups = [known.results.group(row.experiment, row.overrides) for row in rows.PRIVACY]
    return privacy_figure(groups, [rows.WITHOUT_PRIVACY.get(row, "") for row in rows.PRIVACY])


if __name__ == "__main__":
    sys.exit(main())
