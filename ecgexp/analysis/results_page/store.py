"""`results/runs.jsonl`: the published results, one JSON line each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgexp.analysis.results_page.record import PublishedResult, as_json
from ecgexp.settings.declaration import ConfigError, DataError, build
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_lines, read_text, refusal

_FIX = "restore the line from git, or add the run again with scripts/results_page.py --add"


def read_results(path: Path) -> list[PublishedResult]:
    """Read all published results, in the order of the file.

    Raises:
      DataError: a line is damaged, breaks the schema or repeats a run; the message names the line.
    """
    if not read_text(path, fix=_FIX).endswith("\n"):  # such a line would be left out
        raise refusal(path, "ends within a line", fix=_FIX)
    found: list[PublishedResult] = []
    known: dict[str, int] = {}
    for number, values in enumerate(read_lines(path, dict[str, Any], fix=_FIX), start=1):
        try:
            result = build(PublishedResult, values, path="")
        except (ConfigError, DataError) as error:
            raise refusal(path, f"line {number}: {error}", fix=_FIX) from error
        if (run := result.provenance.run) and result.kind == "run":
            if run in known:
                raise refusal(path, f"line {number}: run={run} is in line {known[run]}", fix=_FIX)
            known[run] = number
        found.append(result)
    return found


def write_results(path: Path, results: Sequence[PublishedResult]) -> None:
    """Replace the file by these results."""
    lines = [json.dumps(as_json(one), ensure_ascii=False, allow_nan=False) for one in results]
    with replacing(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
