"""Damage to a file: changed bytes, lines or JSON values, or something else under its name."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing.byte_mutations import BYTES, TEXT

_ODD = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    10**400,
    -1.5,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\0",
    "\ud800",
    "ε",
    "a\nb",
    "../../x",
    "9" * 5000,
    [],
    {},
    [[]],
    {"": 0},
    [None],
    "1",
    "NaN",
)
_TEXT = (".json", ".jsonl", ".yaml", ".csv", ".txt", ".hea", ".html", ".md")


def damage(path: Path, rng: np.random.Generator) -> str:
    """Damages one file; returns a description of the damage."""
    content = path.read_bytes()
    choices: list[tuple[float, Callable[[], str]]] = [
        (4, lambda: _bytes(path, content, rng)),
        (2, lambda: _other(path, rng)),
    ]
    if path.suffix in _TEXT:
        choices.append((4, lambda: _text(path, content, rng)))
    if path.suffix in (".json", ".jsonl"):
        choices.append((10, lambda: _json(path, content, rng)))
    weights = np.array([weight for weight, _ in choices])
    return choices[rng.choice(len(choices), p=weights / weights.sum())][1]()


def _bytes(path: Path, content: bytes, rng: np.random.Generator) -> str:
    change = BYTES[rng.integers(len(BYTES))]
    path.write_bytes(change(content, rng) if content else b"\0")
    return change.__name__


def _text(path: Path, content: bytes, rng: np.random.Generator) -> str:
    change = TEXT[rng.integers(len(TEXT))]
    try:
        path.write_bytes(change(content, rng))
    except (ValueError, IndexError):  # a file without a number or word
        path.write_bytes(content[: len(content) // 2])
        return "truncate"
    return change.__name__


def _other(path: Path, rng: np.random.Generator) -> str:
    kind = (
        "empty",
        "missing",
        "zeros",
        "random",
        "folder",
        "pipe",
        "loop",
        "dangling",
        "deep",
        "not UTF-8",
        "of another",
    )[rng.integers(11)]
    size = path.stat().st_size
    if kind in ("folder", "pipe", "loop", "dangling", "missing"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "of another":
        others = [
            other for other in sorted(path.parent.iterdir()) if other.is_file() and other != path
        ]
        if others:
            shutil.copyfile(others[rng.integers(len(others))], path)
    elif kind != "missing":
        contents = {
            "empty": b"",
            "zeros": bytes(size),
            "random": rng.bytes(size or 9),
            "deep": b"[" * 100_000,
            "not UTF-8": b"\xff\xfe{",
        }
        path.write_bytes(contents[kind])
    return kind


def _json(path: Path, content: bytes, rng: np.random.Generator) -> str:
    lines = (
        content.decode().splitlines(keepends=True)
        if path.suffix == ".jsonl"
        else [content.decode()]
    )
    at = int(rng.integers(len(lines)))
    value = json.loads(lines[at])
    text, how = _changed(value, rng)
    lines[at] = text + ("\n" if path.suffix == ".jsonl" else "")
    if path.suffix == ".jsonl" and rng.random() < 0.2:
        lines.insert(at, lines[at])
        how += ", twice"
    path.write_bytes("".join(lines).encode("utf-8", "surrogatepass"))
    return how


def _changed(value: Any, rng: np.random.Generator) -> tuple[str, str]:
    places = list(_places(value))
    kind = ("type", "type", "type", "missing", "twice", "deep", "extra")[rng.integers(7)]
    odd = _ODD[rng.integers(len(_ODD))]
    if not places or rng.random() < 0.05:
        return _dumps(odd), f"all of it {odd!r:.20}"
    holder, key = places[rng.integers(len(places))]
    where = f"{key!r:.30}"
    if kind == "type":
        holder[key] = odd
        return _dumps(value), f"{where} is {odd!r:.20}"
    if kind == "missing":
        del holder[key]
        return _dumps(value), f"{where} is gone"
    if kind == "extra" and isinstance(holder, dict):
        holder["unknown"] = odd
        return _dumps(value), "an extra key"
    if kind == "twice" and isinstance(holder, dict):
        return _dumps(value).replace("{", '{"twice": 1, "twice": 2, ', 1), "a key twice"
    for _ in range(int(rng.choice([70, 500, 900]))):
        holder[key] = [holder[key]]
    return _dumps(value), f"{where} is nested"


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(inner)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
