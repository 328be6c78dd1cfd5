"""Windows of all beats of a record in a scratch file, read in parts and by column."""

from pathlib import Path

import numpy as np

_COLUMN_BYTES = 1 << 26  # of columns that are in memory at once for the median
_ROWS = 1 << 14


class WindowStore:
    """Appends windows to a file and reads them.

    Args:
      path: The file; windows that it has already are kept.
      shape: (window, leads).
    """

    def __init__(self, path: Path, shape: tuple[int, int]):
        self._path, self._shape = path, shape
        self._width = shape[0] * shape[1]
        path.touch()

    def __len__(self) -> int:
        """Number of whole windows."""
        return self._path.stat().st_size // (4 * self._width)

    def truncate(self, number: int) -> None:
        """Keep the first `number` windows."""
        with self._path.open("rb+") as file:
            file.truncate(number * 4 * self._width)

    def append(self, windows_mv: np.ndarray) -> None:
        """Append (num_beats, window, leads) float32."""
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(windows_mv, np.float32).data)

    def read(self, begin: int, end: int) -> np.ndarray:
        """Return (end - begin, window, leads) float32."""
        number = max(0, min(end, len(self)) - begin)
        values = np.fromfile(
            self._path, np.float32, count=number * self._width, offset=begin * 4 * self._width
        )
        return values.reshape(number, *self._shape)

    def template(self) -> np.ndarray:
        """Return (window, leads) float32: `preprocessing.windows.template` of all windows."""
        number = len(self)
        if not number:
            return np.zeros(self._shape, np.float32)
        found = np.empty(self._width, np.float32)
        step = max(1, _COLUMN_BYTES // (4 * number))
        for first in range(0, self._width, step):
            columns = slice(first, min(first + step, self._width))
            values = np.empty((columns.stop - first, number), np.float32)
            for begin in range(0, number, _ROWS):
                rows = self.read(begin, begin + _ROWS).reshape(-1, self._width)
                values[:, begin : begin + len(rows)] = rows[:, columns].T
            found[columns] = np.median(values, axis=1, overwrite_input=True)
        return found.reshape(self._shape)
