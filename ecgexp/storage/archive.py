"""Store arrays and a JSON value in one file, bit for bit and without pickle.

Reading such a file cannot execute code. It is a safetensors file: a length, a JSON header with
name, type, shape and offset of each array, then the bytes of the arrays. The metadata has one
entry, `ecgexp`, with the JSON value (`meta`) and the names of the arrays that hold text.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, Protocol

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from ecgexp.settings.declaration import DataError
from ecgexp.storage.json_text import parse

SUFFIX = ".safetensors"

_KEY, _METADATA = "ecgexp", "__metadata__"
_DTYPES = {
    "BOOL": "|b1",
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
_LENGTH = 8  # bytes of the field that gives the length of the header


class Writable(Protocol):
    """What `write_archive` needs of a file."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`; see `io.BufferedIOBase.write`."""
        ...


def write_archive(
    file: Writable, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> None:
    """Write `arrays` and `meta`; equal contents give equal bytes.

    Args:
      file: Opened for writing in binary mode; it need not be seekable.
      arrays: Name -> array of bool, integer, float or bytes (`S`); names are slash-separated, e.g.
        `model/0`.
      meta: A JSON value that may also contain NaN and infinities; tuples are read back as lists.

    Raises:
      ValueError: An array or name is of another kind, e.g. bfloat16 or objects, or JSON would
        change `meta`. Nothing was written.
      TypeError: A value in `meta` cannot be converted to JSON.
      OSError: The file cannot be written, e.g. because the disk is full.
    """
    arrays = {_checked_name(name): np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in arrays.items():
        _check_dtype(name, array.dtype)
    text = [name for name, array in arrays.items() if array.dtype.kind == "S"]
    about = json.dumps(
        {"meta": _plain(meta), "text": text}, separators=(",", ":"), ensure_ascii=True
    )
    file.write(save({name: _stored(array) for name, array in arrays.items()}, {_KEY: about}))


def read_archive(file: IO[bytes]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file written by `write_archive`; reject any other file.

    Args:
      file: Opened for reading in binary mode, at its start.

    Returns:
      arrays: Name -> array, writable and with its own memory.
      meta: The JSON value.

    Raises:
      DataError: The file was not written by `write_archive` or is damaged. No array larger than the
        file was allocated.
    """
    data = file.read()
    try:
        length = int.from_bytes(data[:_LENGTH], "little")
        header = parse(data[_LENGTH : _LENGTH + length].decode("utf-8"))
        about = parse(header[_METADATA][_KEY], finite=False)
        found = deserialize(data)
        arrays = {_checked_name(name): _array(name, entry) for name, entry in found}
        for name in about["text"]:
            arrays[name] = _text(arrays[name])
        return arrays, about["meta"]
    except (
        SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        MemoryError,
        OverflowError,
    ) as error:
        raise DataError(f"is not a safetensors file of ecgexp: {error}") from error


def _plain(value: Any) -> Any:
    """Convert to dicts and lists; reject keys that JSON would silently change."""
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ValueError(
                f"meta: the key {strange[0]!r} is not a string, and JSON would convert it; use str "
                "keys"
            )
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _checked_name(name: str) -> str:
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError(
            f"{name!r} is not a valid array name; use printable parts between slashes, e.g. model/0"
        )
    return name


def _check_dtype(name: str, dtype: np.dtype) -> None:
    if not (dtype.str in _DTYPES.values() or (dtype.kind == "S" and dtype.itemsize)):
        raise ValueError(
            f"the array {name} has dtype {dtype}, which cannot be stored bit for bit without "
            "pickle; cast it to a little-endian bool, integer, float or bytes type of NumPy first "
            "(bfloat16 to float32 is lossless)"
        )


def _stored(array: np.ndarray) -> np.ndarray:
    """Store text as bytes along an additional axis, since the format has no text type."""
    if array.dtype.kind != "S":
        return array
    return np.frombuffer(array.tobytes(), np.uint8).reshape(*array.shape, array.dtype.itemsize)


def _text(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or not array.ndim or not array.shape[-1]:
        raise ValueError("text is not stored as bytes")
    return np.ndarray(
        array.shape[:-1], f"S{array.shape[-1]}", buffer=array.tobytes() or bytes(1)
    ).copy()


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray:
    dtype, shape, data = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data"]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{name} has {len(data)} bytes, but its header says {dtype} of shape {tuple(shape)}"
        )
    return np.ndarray(tuple(shape), dtype, buffer=bytes(data) or bytes(1)).copy()
