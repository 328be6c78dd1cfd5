"""Mutations of files: bytes, lines, numbers, encodings, WFDB's control words, whole files."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from fuzzing.byte_mutations import ANNOTATION, BYTES, TEXT

Files = dict[str, object]
"""File name -> content; None: no such file; a callable makes it (a folder, a pipe, a link)."""


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
        return TEXT
    return ANNOTATION if name.endswith(".atr") else BYTES


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
