"""Parse the numbers of a CSV file, strictly and without a Python object for each of them."""

import io
from pathlib import Path

import numpy as np

from ecgexp.data.datasets.catalog import Database
from ecgexp.data.formats.untrusted import damaged, quoted

_MISSING = ["", "nan", "NaN", "NAN", "NA", "null"]
_IN_NUMBERS = b"0123456789+-.eE \n"
_IN_MISSING = b"naNAul"


def read_columns(
    path: Path, body: bytes, separator: str, num_columns: int, database: Database
) -> list[np.ndarray]:
    """Parse the rows of a table of numbers.

    Args:
      path: The file, for messages.
      body: Its lines behind the heading.
      separator: Separator of columns: comma, semicolon or tab.
      num_columns: Number of columns.
      database: Gives the remedy.

    Returns:
      For each column (num_rows,) float64; NaN for an empty cell, `nan`, `NA` and `null`.

    Raises:
      DataError: A value is not a number, a line has another number of columns, or there are no
        lines.
    """
    own = separator.encode()
    decimal = b"," if own != b"," and b"," in body else b"."
    odd = body.translate(None, _IN_NUMBERS + _IN_MISSING + own + decimal)
    if decimal == b"," and b"." in body:
        odd = b"."
    if odd:
        before = body[: body.index(odd[:1])]
        line = body[before.rfind(b"\n") + 1 :][:200].split(b"\n")[0].decode("latin-1")
        number = before.count(b"\n") + 2
        raise damaged(
            path, f"has a value that is not a number in line {number}: {quoted(line)}", database
        )
    body = body.rstrip(b"\n")
    if not body.strip():
        raise damaged(path, "has no samples", database)
    num_rows = body.count(b"\n") + 1
    if body.count(own) != num_rows * (num_columns - 1):
        number = next(
            number
            for number, line in enumerate(body.split(b"\n"), start=2)
            if line.count(own) != num_columns - 1
        )
        raise damaged(path, f"has not {num_columns} columns in line {number}", database)
    import pandas as pd

    try:
        table = pd.read_csv(
            io.BytesIO(body),
            sep=separator,
            decimal=decimal.decode(),
            header=None,
            names=range(num_columns),
            dtype=np.float64,
            na_values=_MISSING,
            keep_default_na=False,
            skip_blank_lines=False,
            float_precision="round_trip",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise damaged(
            path, f"has a value that is not a number ({quoted(str(error))})", database
        ) from error
    columns = [table[column].to_numpy() for column in range(num_columns)]
    if len(table) != num_rows or any(np.isinf(column).any() for column in columns):
        raise damaged(path, "has a value that is not a number, or infinite", database)
    return columns
