"""Artifacts as files: the formats of figures, texts, nested values and tables."""

import json
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgexp.settings.redaction import redact, redacted
from ecgexp.tracking.checks import check_path

_DPI = 150


class FileArtifacts(ABC):
    """Adds all other kinds of artifact to a tracker that can store files."""

    @abstractmethod
    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of the file `path`, under its own name, in `folder`."""

    def log_figure(self, figure: Any, path: str) -> None:
        """Store a matplotlib figure as an image; the suffix of `path` gives the format."""
        self._write(path, lambda target: _save(figure, target))

    def log_text(self, text: str, path: str) -> None:
        """Store text, without its secrets."""
        self._write(path, lambda target: target.write_text(redact(text), encoding="utf-8"))

    def log_dict(self, values: Mapping[str, Any], path: str) -> None:
        """Store nested values as `.json` or `.yaml`.

        Undefined numbers become null, secrets are redacted.
        """
        self._write(
            path,
            lambda target: target.write_text(
                _dump(redacted(values), suffix=target.suffix), encoding="utf-8"
            ),
        )

    def log_table(self, table: Any, path: str) -> None:
        """Store a pandas table as `.csv` or `.parquet`.

        Raises:
          ValueError: another suffix.
        """
        if path.endswith(".parquet"):
            self._write(
                path, lambda target: table.to_parquet(target, index=False, write_page_checksum=True)
            )
        elif path.endswith(".csv"):
            self._write(path, lambda target: table.to_csv(target, index=False))
        else:
            raise ValueError(f"a table cannot be stored as {path!r}; use .csv or .parquet")

    def _write(self, path: str, write: Callable[[Path], Any]) -> None:
        folder, _, name = check_path(path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="ecgexp-") as scratch:
            write(Path(scratch) / name)
            self.log_file(Path(scratch) / name, folder)


def _save(figure: Any, target: Path) -> None:
    import matplotlib

    # TrueType fonts in PDF, which journals ask for, and letters as paths in SVG.
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path"}):
        figure.savefig(target, dpi=_DPI, bbox_inches="tight")


def plain(values: Any) -> Any:
    """Return `values` as JSON types.

    Numpy scalars and arrays as numbers and lists, NaN and infinity as None.
    """
    if isinstance(values, Mapping):
        return {str(key): plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple | set | np.ndarray):
        return [plain(value) for value in values]
    if isinstance(values, np.generic):
        return plain(values.item())
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values if isinstance(values, str | int | float | bool) or values is None else str(values)


def _dump(values: Mapping[str, Any], *, suffix: str) -> str:
    if suffix == ".json":
        return json.dumps(plain(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if suffix in (".yaml", ".yml"):
        import yaml

        return yaml.safe_dump(plain(values), sort_keys=False, allow_unicode=True)
    raise ValueError(f"nested values cannot be stored as {suffix!r}; use .json or .yaml")
