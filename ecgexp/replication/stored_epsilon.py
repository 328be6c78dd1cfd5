"""`results/replication_epsilon.jsonl`: ε of the noise sweep, whose computation takes a minute."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from ecgexp.replication.reported_epsilon import Ladder
from ecgexp.storage.atomic import replacing
from ecgexp.storage.reading import read_lines

_FIX = "compute it again with scripts/results_page.py --accounting"
_EXECUTED = "that_ran"  # always infinite, which JSON does not have

Epsilon = Annotated[float, Field(gt=0)]


class LadderValues(TypedDict):
    """One line: ε at one noise multiplier, by the fields of `Ladder`."""

    noise_multiplier: Epsilon
    as_printed: Epsilon
    right_count: Epsilon
    tight: Epsilon
    ten_copies: Epsilon
    no_amplification: Epsilon


def read_ladders(path: Path) -> list[Ladder]:
    """Read ε of the noise sweep, one value for each noise multiplier.

    Args:
      path: of the file.

    Raises:
      DataError: the file is missing or damaged.
    """
    return [Ladder(**values) for values in read_lines(path, LadderValues, fix=_FIX)]


def write_ladders(path: Path, ladders: Sequence[Ladder]) -> None:
    """Replace the file.

    Args:
      path: of the file.
      ladders: one per noise multiplier.
    """
    values = [{k: v for k, v in asdict(one).items() if k != _EXECUTED} for one in ladders]
    with replacing(path) as part:
        part.write_text("".join(f"{json.dumps(one)}\n" for one in values), encoding="utf-8")
