"""Mutations of files: bytes, lines, numbers, encodings, WFDB's control words, whole files."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Files = dict[str, object]
"""File name -> content; None: no such file; a callable makes it (a folder, a pipe, a link)."""

EXTREMES = (
    b"-1",
    b"0",
    b"1",
    b"2",
    b"-0",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"4294967296",
    b"9223372036854775808",
    b"1e308",
    b"-1e308",
    b"1e309",
    b"1e-320",
    b"nan",
    b"inf",
    b"-inf",
    b"",
    b" ",
    b"0x10",
    b"1_000",
    b"+5",
    b".",
    b"e",
    b"-",
    b"1e",
    b"00",
    b"007",
    b"1.5",
    b"1000000000000000000",
    b"9" * 400,
    b"9" * 5000,
    "\u0663".encode(),
    b"1,5",
    b"16",
    b"80",
    b"212",
    b"310",
    b"8",
    b"212x2",
    b"212:3",
    b"212+3",
    b"16+24",
    b"1e3",
    b"200(0)/uV",
    b"200/mmHg",
    b"0(0)/mV",
)
WORDS = (
    b"../",
    b"~",
    b"/etc/passwd",
    b"|id",
    b"http://127.0.0.1:9/x",
    b"s3://x/y",
    b"a::b",
    b"\0",
    b"\n",
    b"\r",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x85",
    b"\xc2\x85",
    "\u2028".encode(),
    b"#",
    b",",
    b"'",
    b'"',
    b"%00",
    b"${x}",
    b"\xff",
    b"\t",
    b" ",
    b"(",
    b"/",
    b"a/2",
    b"\xef\xbb\xbf",
    b"b.dat",
    b"-",
    b"SYNTHETIC",
)
NOTES = (
    b"## time resolution: 100",
    b"## time resolution: 360",
    b"## time resolution: nan",
    b"## annotation type definitions",
    b"## end of definitions",
    b"1 V Premature",
    b"42 X Other",
    b"## what is this",
    b"(VT",
    b"",
)


def mutate(
    files: Mapping[str, bytes], own: list[str], rng: np.random.Generator
) -> tuple[Files, list[str]]:
    """Mutates one to three parts of a record.

    Args:
      files: file name -> content, of the record and of another.
      own: names of the record's own files, which are mutated.
      rng: source of all random choices.

    Returns:
      mutated: the files.
      mutations: a description of each mutation, one line each.
    """
    mutated: Files = dict(files)
    mutations = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        name = own[rng.integers(len(own))]
        content = mutated[name]
        choices = _FILES if not isinstance(content, bytes) or rng.random() < 0.04 else _of(name)
        change = choices[rng.integers(len(choices))]
        mutated[name] = change(content, rng) if change not in _FILES else change(name, mutated, rng)
        mutations.append(f"{change.__name__} {name}")
    return mutated, mutations


def _of(name: str) -> list[Callable]:
    if name.endswith((".hea", ".csv", ".txt")):
        return _TEXT
    return _ANNOTATION if name.endswith(".atr") else _BYTES


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(
        len(content),
        start + int(rng.integers(1, 9 if rng.random() < 0.7 else max(10, len(content)))),
    )


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    mutated = bytearray(content)
    for _ in range(int(rng.integers(1, 4))) if mutated else ():
        mutated[rng.integers(len(mutated))] ^= 1 << int(rng.integers(8))
    return bytes(mutated)


def set_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + rng.bytes(stop - start) + content[stop:]


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def cut_the_start(content: bytes, rng: np.random.Generator) -> bytes:
    return content[int(rng.integers(len(content) + 1)) :]


def insert(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    return content[:at] + rng.bytes(int(rng.integers(1, 20))) + content[at:]


def delete(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:]


def swap(content: bytes, rng: np.random.Generator) -> bytes:
    a, b, c = sorted(int(at) for at in rng.integers(0, len(content) + 1, 3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def zeros(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def append(content: bytes, rng: np.random.Generator) -> bytes:
    return content + (
        rng.bytes(int(rng.integers(1, 50)))
        if rng.random() < 0.5
        else bytes(int(rng.integers(1, 50)))
    )


def shift_a_frame(content: bytes, rng: np.random.Generator) -> bytes:
    """Moves whole frames, which keeps the checksum."""
    size = int(rng.choice([2, 3, 4, 6, 8]))
    a, b, c = sorted(size * int(at) for at in rng.integers(0, len(content) // size + 1, 3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def remove_a_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    del lines[rng.integers(len(lines))]
    return b"\n".join(lines)


def repeat_a_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines))), lines[rng.integers(len(lines))])
    return b"\n".join(lines)


def swap_lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    a, b = rng.integers(len(lines), size=2)
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def join_lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    return b"\n".join([*lines[:at], b" ".join(lines[at : at + 2]), *lines[at + 2 :]])


def change_a_number(content: bytes, rng: np.random.Generator) -> bytes:
    numbers = list(re.finditer(rb"-?\d+", content))
    if not numbers:
        return content
    found = numbers[rng.integers(len(numbers))]
    old = int(found[0][:18])
    near = (
        old + 1,
        old - 1,
        -old,
        old * 2,
        old * 10,
        old + 65536,
        old + int(rng.integers(-500, 500)),
    )
    new = (
        str(near[rng.integers(len(near))]).encode()
        if rng.random() < 0.4
        else EXTREMES[rng.integers(len(EXTREMES))]
    )
    return content[: found.start()] + new + content[found.end() :]


def change_a_word(content: bytes, rng: np.random.Generator) -> bytes:
    words = list(re.finditer(rb"[^\s,]+", content))
    if not words:
        return content
    found = words[rng.integers(len(words))]
    ours = EXTREMES + WORDS
    other = (
        words[rng.integers(len(words))][0] if rng.random() < 0.5 else ours[rng.integers(len(ours))]
    )
    return content[: found.start()] + other + content[found.end() :]


def insert_a_word(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    return content[:at] + WORDS[rng.integers(len(WORDS))] + content[at:]


def other_encoding(content: bytes, rng: np.random.Generator) -> bytes:
    text = content.decode("latin-1")
    kind = int(rng.integers(8))
    if kind < 5:
        return text.encode(("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "cp037")[kind], "replace")
    if kind == 5:
        return content.replace(b"\n", b"\r\n")
    return content.replace(b"\n", b"\r" if kind == 6 else b"\n\n")


def add_a_comment(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines) + 1)), b"# " + rng.bytes(int(rng.integers(12))))
    return b"\n".join(lines)


def change_a_control_word(content: bytes, rng: np.random.Generator) -> bytes:
    """Replaces an annotation word of WFDB by another, or inserts one."""
    words = [content[at : at + 2] for at in range(0, len(content), 2)]
    at = int(rng.integers(len(words) + 1))
    code = int(rng.choice([0, 1, 5, 15, 17, 22, 41, 42, 50, 58, 59, 60, 61, 62, 63]))
    value = int(rng.choice([0, 0, 1, 5, 255, 256, 1023]))
    new = [(code << 10 | value).to_bytes(2, "little")]
    if code == 59 and rng.random() < 0.7:
        jump = int(rng.choice([0, 1, -1, 300, -300, 2**31 - 1, -(2**31), 70000]))
        new += [(jump >> 16 & 0xFFFF).to_bytes(2, "little"), (jump & 0xFFFF).to_bytes(2, "little")]
    return b"".join([*words[:at], *new, *words[at + int(rng.integers(2)) :]])


def add_a_note(content: bytes, rng: np.random.Generator) -> bytes:
    """Inserts a comment with a note, at sample 0 (as notes about the file are) or elsewhere."""
    note = NOTES[rng.integers(len(NOTES))]
    padded = note + bytes(len(note) % 2)
    word = (22 << 10).to_bytes(2, "little") + (63 << 10 | len(note)).to_bytes(2, "little") + padded
    at = 0 if rng.random() < 0.7 else 2 * int(rng.integers(len(content) // 2 + 1))
    return content[:at] + word + content[at:]


def change_a_symbol(content: bytes, rng: np.random.Generator) -> bytes:
    mutated = bytearray(content)
    at = 2 * int(rng.integers(max(1, len(content) // 2))) + 1
    if at < len(mutated):
        mutated[at] = mutated[at] & 3 | int(rng.integers(64)) << 2
    return bytes(mutated)


def empty(name: str, files: Files, rng: np.random.Generator) -> object:
    return b""


def take_the_others(name: str, files: Files, rng: np.random.Generator) -> object:
    names = list(files)
    return files[names[rng.integers(len(names))]]


def remove(name: str, files: Files, rng: np.random.Generator) -> object:
    return None


def fill(name: str, files: Files, rng: np.random.Generator) -> object:
    return bytes([int(rng.integers(256))]) * int(rng.choice([1, 2, 1000, 200_000]))


def odd_thing(name: str, files: Files, rng: np.random.Generator) -> object:
    return (_folder, _pipe, _endless, _circle)[rng.integers(4)]


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


_FILES: list[Callable] = [empty, take_the_others, take_the_others, remove, fill, odd_thing]
_BYTES: list[Callable] = [
    flip_bits,
    flip_bits,
    set_bytes,
    truncate,
    cut_the_start,
    insert,
    delete,
    repeat,
    swap,
    zeros,
    append,
    shift_a_frame,
]
_ANNOTATION: list[Callable] = [
    *_BYTES,
    *[change_a_control_word, change_a_symbol] * 3,
    add_a_note,
    add_a_note,
]
_TEXT: list[Callable] = [
    *_BYTES[:-1],
    remove_a_line,
    repeat_a_line,
    swap_lines,
    join_lines,
    *[change_a_number] * 5,
    *[change_a_word] * 3,
    insert_a_word,
    insert_a_word,
    other_encoding,
    add_a_comment,
]
