"""Mutations of the bytes of a file: of any file, of texts, and of WFDB annotations."""

import re
from collections.abc import Callable

import numpy as np
from fuzzing.odd_values import EXTREMES, NOTES, WORDS


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


BYTES: list[Callable] = [
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
ANNOTATION: list[Callable] = [
    *BYTES,
    *[change_a_control_word, change_a_symbol] * 3,
    add_a_note,
    add_a_note,
]
TEXT: list[Callable] = [
    *BYTES[:-1],
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
