"""Arrays and a JSON text in one file, bit for bit and without pickle: nothing in it that reading could execute.

The file is a safetensors file: a length, a JSON header with name, type, shape and place of each array, then their bytes. Its
metadata has one entry, `ecgexp`: the meta, and the names of the arrays that are text.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from ecgexp.settings.declaration import DataError
from ecgexp.storage.reading import parse

SUFFIX = ".safetensors"

_KEY, _METADATA = "ecgexp", "__metadata__"
_DTYPES = {
    "BOOL": "|b1", "I8": "|i1", "U8": "|u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8",
    "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LENGTH = 8  # bytes that say how long the header is


def write_archive(
    file: IO[bytes], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> None:
    """Writes `arrays` and `meta`; equal ones give equal bytes.

    Args:
      file: opened for writing in binary; need not be able to seek.
      arrays: name -> array of bool, integer, float or bytes (`S`); names are slash-separated, like `model/0`.
      meta: what JSON can hold, and NaN and infinities; tuples come back as lists.

    Raises:
      ValueError: an array or a name of another kind, e.g. bfloat16 or objects, or a meta that JSON would change. Then
        nothing was written.
      TypeError: a value in `meta` that JSON does not know.
      OSError: the file cannot be written, e.g. because the disk is full.
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
    """Reads what `write_archive` wrote, and refuses everything else.

    Args:
      file: opened for reading in binary, at its start.

    Returns:
      The arrays by their names, writable and each of its own memory, and the meta.

    Raises:
      DataError: anything else, whole or in part. No array was made that is larger than the file.
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
    """`value` in dicts and lists; what JSON would change without a word is refused."""
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ValueError(
                f"the key {strange[0]!r} in meta is no text, and JSON would make it one: use str keys"
            )
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _checked_name(name: str) -> str:
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError(
            f"{name!r} cannot name an array: use printable parts between slashes, like model/0"
        )
    return name


def _check_dtype(name: str, dtype: np.dtype) -> None:
    if not (dtype.str in _DTYPES.values() or (dtype.kind == "S" and dtype.itemsize)):
        raise ValueError(
            f"the array {name} is of {dtype}, which cannot be kept bit for bit without code; cast it to a little-endian bool, "
            "integer, float or bytes type of numpy's own first (bfloat16 to float32 loses nothing)"
        )


def _stored(array: np.ndarray) -> np.ndarray:
    """The format knows no text: its bytes stand along one more axis."""
    if array.dtype.kind != "S":
        return array
    return np.frombuffer(array.tobytes(), np.uint8).reshape(*array.shape, array.dtype.itemsize)


def _text(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or not array.ndim or not array.shape[-1]:
        raise ValueError("text is not kept as bytes")
    return np.ndarray(
        array.shape[:-1], f"S{array.shape[-1]}", buffer=array.tobytes() or bytes(1)
    ).copy()


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray:
    dtype, shape, data = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data"]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{name} has {len(data)} bytes where {dtype} of shape {tuple(shape)} was announced"
        )
    return np.ndarray(tuple(shape), dtype, buffer=bytes(data) or bytes(1)).copy()
