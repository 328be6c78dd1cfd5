"""Arrays and a JSON text in one file, bit for bit and without pickle: nothing in it that reading could execute.

The file is an npz as numpy knows it, uncompressed: `arrays/NAME.npy` for each array, and `meta.json`. It is read by rules
narrower than numpy's, since whoever opens a file must not have to trust it.
"""

import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ecgexp._validate import DataError

_ARRAYS, _NPY, _META = "arrays/", ".npy", "meta.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # of every member: the same content shall give the same bytes
_KINDS = frozenset("biufcSUMm")  # bool, numbers, text, time: kinds of dtype that are nothing but their bytes


def write_archive(file: IO[bytes], arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Writes `arrays` and `meta`; equal ones give equal bytes.

    Args:
      file: opened for writing in binary; need not be able to seek.
      arrays: name -> array of bool, number, text or time; names are slash-separated, like `model/0`.
      meta: what JSON can hold, and NaN and infinities; tuples come back as lists.

    Raises:
      ValueError: an array or a name of another kind, e.g. bfloat16 or objects, or a meta that JSON would change. Then
        nothing was written.
      TypeError: a value in `meta` that JSON does not know.
      OSError: the file cannot be written, e.g. because the disk is full.
    """
    text = json.dumps(_plain(meta), separators=(",", ":")).encode("ascii")
    arrays = {_checked_name(name): np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        _check_dtype(name, array.dtype)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_META, _DATE), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{_ARRAYS}{name}{_NPY}", _DATE), "w", force_zip64=True) as member:
                npy.write_array(member, array, version=(1, 0), allow_pickle=False)


def read_archive(file: IO[bytes]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `write_archive` wrote, and refuses everything else.

    Args:
      file: opened for reading in binary, at its start; can seek.

    Returns:
      The arrays, writable and each of its own memory, and the meta.

    Raises:
      DataError: anything else, whole or in part. No array was made that is larger than the file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_plain(members, size=file.seek(0, os.SEEK_END))
            arrays = {_name_of(member): _read_array(archive, member) for member in members if member.filename != _META}
            return arrays, json.loads(archive.read(_META))
    except Exception as error:  # zipfile, numpy and json raise a dozen kinds for bytes that are none of theirs
        raise DataError(f"is not an archive of arrays and meta.json: {error}") from error


def _plain(value: Any) -> Any:
    """`value` in dicts and lists; what JSON would change without a word is refused."""
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"the key {strange[0]!r} in meta is no text, and JSON would make it one: use str keys")
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _checked_name(name: str) -> str:
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError(f"{name!r} cannot name an array: use printable parts between slashes, like model/0")
    return name


def _check_dtype(name: str, dtype: np.dtype) -> None:
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(
            f"the array {name} is of {dtype}, which cannot be kept bit for bit without code; cast it to a type of "
            "numpy's own first (bfloat16 to float32 loses nothing)"
        )


def _check_plain(members: list[zipfile.ZipInfo], *, size: int) -> None:
    """Nothing to unpack, nothing twice: then what is read is at most as long as the file."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its members are compressed")
    declared = sum(member.file_size for member in members)
    if declared > size:
        raise ValueError(f"its members claim {declared} bytes, more than the {size} of the file")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("a member is there twice")


def _name_of(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not (name.startswith(_ARRAYS) and name.endswith(_NPY)):
        raise ValueError(f"its member {name!r} is neither {_META} nor {_ARRAYS}NAME{_NPY}")
    return _checked_name(name.removeprefix(_ARRAYS).removesuffix(_NPY))


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        if npy.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename} is of another version of npy")
        shape, fortran_order, dtype = npy.read_array_header_1_0(file)
        data = file.read()  # to the end, where the zip's checksum is compared
    _check_dtype(member.filename, dtype)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename} has {len(data)} bytes where {dtype} of shape {shape} was announced")
    array = np.ndarray(shape, dtype, buffer=data or bytes(1), order="F" if fortran_order else "C")
    return array.copy(order="K")
