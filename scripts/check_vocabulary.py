"""Check that code, configuration and documentation use the words of the glossary.

    python scripts/check_vocabulary.py [PATH ...]

The table of `vocabulary/words.py` bans words and phrases, and names the term of the glossary to use
instead. A rule applies to identifiers, to prose, or to both:

- Identifiers are the names in Python code, names of files and folders, keys of YAML files, strings
  without a space (keys of metrics and settings), and code names quoted in prose. They are split
  into words: `num_beats` and `NumBeats` are both "num beats".
- Prose is every comment, docstring and string of Python, and the whole text of other files. A
  phrase is found across line breaks.

Ordinary English and names of other libraries are not banned: a rule states its scope and the
phrases that are exceptions. Exit status: 0, or 1 with one line `file:line: word; use ...` per
finding.
"""

import argparse
import io
import re
import subprocess
import sys
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from vocabulary.words import ALLOWED, EXCLUDED, RULES, Rule, compile_words

from ecgexp.cli.streams import command

Kind = Literal["code", "prose", "key"]  # a key is an identifier in a string: both rules apply


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A banned word and its place."""

    path: str
    line: int
    word: str
    use: str

    def __str__(self) -> str:
        """Return `file:line: word; use ...`."""
        return f"{self.path}:{self.line}: {self.word}; use {self.use}"


_SUFFIXES = frozenset((".py", ".yaml", ".yml", ".md", ".toml", ".j2", ".html", ".cff"))

_TOKEN = re.compile(r"\w+")
_WORD = re.compile(r"[A-Z]?[^\W\dA-Z_]+\d*|[A-Z]+(?![a-z])\d*|\d+")
_GAP = re.compile(r"[\s#_\"'`/-]*")  # between the words of a phrase; also a line break in a comment
_YAML_KEY = re.compile(r"^[ -]*([\w.]+):(?=\s|$)", re.MULTILINE)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per finding and return the exit status: 0, or 1 if there is a finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "paths", nargs="*", help="files or folders; the whole repository by default"
    )
    paths = parser.parse_args(arguments).paths
    found = [
        finding
        for path in tracked_files(paths)
        for finding in check(path, Path(path).read_text(encoding="utf-8"))
    ]
    for finding in found:
        print(finding)
    return 1 if found else 0


def tracked_files(paths: Sequence[str]) -> list[str]:
    """Return the text files tracked by git below `paths` that are to be checked."""
    command = ["git", "ls-files", "--", *paths]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [
        path
        for path in listed.stdout.splitlines()
        if Path(path).suffix in _SUFFIXES and path not in EXCLUDED and Path(path).is_file()
    ]


def check(path: str, text: str) -> list[Finding]:
    """Return the findings in one file, in the order of lines.

    Args:
      path: name of the file, relative to the root; its suffix says how `text` is read.
      text: its content.
    """
    found = {(1, *hit[1:]) for hit in _hits(path.rsplit(".", 1)[0], lambda _: "code")}
    if any(_may_begin(word) for token in set(_TOKEN.findall(text)) for word in _split(token)):
        kind_at = _kinds(path, text)  # only for files that need it: most of the time goes here
        found |= {(text.count("\n", 0, hit[0]) + 1, *hit[1:]) for hit in _hits(text, kind_at)}
    allowed = {place.word for place in ALLOWED if place.path == path}
    return [
        Finding(path=path, line=line, word=word, use=use)
        for line, word, use in sorted(found)
        if word not in allowed
    ]


def _kinds(path: str, text: str) -> Callable[[int], Kind]:
    """Return the function from a position in the text to the kind of text there."""
    rest: Kind = "prose"
    parts: Iterable[tuple[int, int, Kind]] = ()
    if path.endswith(".py"):
        rest, parts = "code", _python_parts(text)
    elif path.endswith((".yaml", ".yml")):
        parts = ((key.start(1), key.end(1), "key") for key in _YAML_KEY.finditer(text))
    starts, kinds = [0], [rest]
    for start, end, kind in parts:
        starts += [start, end]
        kinds += [kind, rest]
    return lambda position: kinds[bisect_right(starts, position) - 1]


def _python_parts(text: str) -> Iterator[tuple[int, int, Kind]]:
    """Yield `(start, end, kind)` of the comments and strings of a Python file."""
    lines = list(accumulate(map(len, text.splitlines(keepends=True)), initial=0))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            is_key = token.type == tokenize.STRING and not re.search(r"\s", token.string)
            start, end = (lines[row - 1] + column for row, column in (token.start, token.end))
            yield start, end, "key" if is_key else "prose"


def _hits(text: str, kind_at: Callable[[int], Kind]) -> Iterator[tuple[int, str, str]]:
    """Yield `(position, phrase, what to use)` for every banned phrase."""
    words = [
        _Word(part.lower(), token, kind_at(token.start()))
        for token in _TOKEN.finditer(text)
        for part in _split(token[0])
    ]
    for index, word in enumerate(words):
        for rule in _may_begin(word.text):
            phrase = words[index : index + len(rule.words)]
            if not _applies(rule, phrase) or not _is_phrase(rule.words, phrase, text):
                continue
            if re.match(rule.followed_by, text[phrase[-1].token.end() :][:80]) and not any(
                _is_phrase(exception, words[start : start + len(exception)], text)
                for exception in map(compile_words, rule.exceptions)
                for start in range(max(index - len(exception) + 1, 0), index + len(phrase))
            ):
                yield word.token.start(), " ".join(part.text for part in phrase), rule.use


class _Word(NamedTuple):
    """A word of a text."""

    text: str  # in lower case
    token: re.Match[str]  # the identifier or the word of prose that it is a part of
    kind: Kind


def _applies(rule: Rule, phrase: Sequence[_Word]) -> bool:
    """Whether the scope of a rule includes the place of a phrase."""
    token, kind = phrase[0].token, phrase[0].kind
    in_one_name = all(word.token is token for word in phrase)
    if rule.scope == "names":
        return kind != "prose" and bool(re.fullmatch(rule.pattern, token[0]))
    is_name = kind == "key" or (in_one_name and (kind == "code" or len(_split(token[0])) > 1))
    return (is_name and rule.scope != "prose") or (kind != "code" and rule.scope != "identifiers")


def _is_phrase(pattern: Sequence[re.Pattern[str]], words: Sequence[_Word], text: str) -> bool:
    """Whether the words match the pattern and only spaces and the like lie between them."""
    return (
        len(words) == len(pattern)
        and all(part.fullmatch(word.text) for part, word in zip(pattern, words, strict=True))
        and all(
            one.token is two.token or _GAP.fullmatch(text, one.token.end(), two.token.start())
            for one, two in pairwise(words)
        )
    )


@cache
def _may_begin(word: str) -> tuple[Rule, ...]:
    """Return the rules whose phrase may begin with a word."""
    return tuple(rule for rule in RULES if rule.words[0].fullmatch(word.lower()))


@cache
def _split(token: str) -> tuple[str, ...]:
    """Return the words of an identifier; those of `num_beats` and `NumBeats` are the same."""
    return tuple(_WORD.findall(token))


if __name__ == "__main__":
    sys.exit(main())
