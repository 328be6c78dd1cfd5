"""Check that code, configuration and documentation use the words of the glossary.

    python scripts/check_vocabulary.py [PATH ...]

The table `RULES` bans words and phrases, and names the term of the glossary to use instead. A rule
applies to identifiers, to prose, or to both:

- Identifiers are the names in Python code, names of files and folders, keys of YAML files, strings
  without a space (keys of metrics and settings), and code names quoted in prose. They are split
  into words: `lost_steps` and `LostSteps` are both "lost steps".
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
from functools import cache, cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from ecgexp.cli.streams import command

Scope = Literal["identifiers", "prose", "both", "names"]
Kind = Literal["code", "prose", "key"]  # a key is an identifier in a string: both rules apply


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """A banned word or phrase.

    Attributes:
      pattern: one regular expression per word, separated by spaces, in lower case; each is matched
        against a whole word. The words of a phrase may also be separated by a line break, an
        underscore, a hyphen or a quotation mark.
      use: what to write instead.
      scope: where the rule applies; "names" are identifiers as a whole, with their case.
      exceptions: phrases, in the form of `pattern`, that contain the word and are ordinary English,
        a name of another library, or a stored key.
      followed_by: regular expression of the text after the phrase.
    """

    pattern: str
    use: str
    scope: Scope = "both"
    exceptions: tuple[str, ...] = ()
    followed_by: str = ""

    @cached_property
    def words(self) -> tuple[re.Pattern[str], ...]:
        """The compiled regular expressions of `pattern`."""
        return _compile(self.pattern.lower())


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """A file in which a banned word stays.

    Attributes:
      path: the file, relative to the root of the repository.
      word: the banned word or phrase, in lower case.
      reason: why it stays.
    """

    path: str
    word: str
    reason: str


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


RULES = (
    # Privacy
    Rule(pattern="promis(e|es|ed|ing)|(pledge|vow)(s|d|ed)?", use="privacy guarantee"),
    Rule(pattern="claims?", use="privacy guarantee; result row", scope="identifiers"),
    Rule(
        pattern="make|makes|made|making no|a|any claims?",
        use="has (no) privacy guarantee",
        scope="prose",
    ),
    Rule(pattern="(un)?pric(e|es|ed|ing)", use="privacy loss; compute ε"),
    Rule(pattern="bill(s|ed)?|invoices?|tariffs?", use="recorded events"),
    Rule(pattern="(un)?charg(e|es|ed|ing)", use="record; spent"),
    Rule(pattern="owe|owes|owed|owing", use="privacy loss"),
    Rule(pattern="pay|pays|paid|paying|payments?|unpaid", use="record; spent"),
    Rule(pattern="cost(s|ing)? ε|epsilon|privacy", use="privacy loss; spent"),
    Rule(pattern="cost(s|ing)? of|in|no|more ε|epsilon|privacy", use="privacy loss; spent"),
    Rule(pattern="ε|epsilon|privacy costs?", use="privacy loss; spent"),
    Rule(pattern="outlook|louder|loudness", use="feasibility"),
    Rule(pattern="how loud", use="noise-to-signal ratio"),
    Rule(
        pattern="(with)?in|of reach",
        use="feasible; unavailable",
        exceptions=("within reach ms|samples|standard",),  # `reach` is a number of samples
    ),
    Rule(pattern="reachable", use="feasibility", scope="identifiers"),
    Rule(pattern="proof of execution", use="noise checks"),
    Rule(pattern="noise records?", use="noise checks; NoiseStatistics", scope="identifiers"),
    Rule(pattern="coins?|dice", use="per-step randomness"),
    Rule(pattern=r"\w*neighbour\w*", use="neighbor; neighboring relation"),
    Rule(pattern="lost steps?", use="discarded steps"),
    Rule(pattern="projections?", use="hypothetical-population ε"),
    # A run
    Rule(pattern="learners?", use="TrainingLoop"),
    Rule(pattern="judg(e|es|ed|ing|ment|ement)|jury|referee", use="evaluate"),
    Rule(pattern="(keeper|guardian|warden|custodian)s?", use="CheckpointManager"),
    Rule(pattern="standing", use="TrainingState", scope="identifiers"),
    Rule(pattern="a|the|its standing", use="training state", scope="prose"),
    Rule(pattern="watchers?", use="Console"),
    Rule(pattern="Progress", use="EpochResult", scope="names"),
    Rule(pattern="Chosen", use="ModelSelector", scope="names"),
    Rule(pattern="Compared|Contrast", use="RunComparison; PairedDifferences", scope="names"),
    Rule(pattern="Grouping", use="LabelGrouping", scope="names"),
    Rule(pattern="Asked|Look", use="RunIndex; TestSetEvaluation", scope="names"),
    Rule(pattern="say", use="print", scope="names"),
    Rule(
        pattern="(un)?prepar(e|es|ed|ing|ation|ations)",
        use="preprocess (records to beats); load_run_data, RunData",
    ),
    Rule(pattern="run outcomes?", use="run artifacts"),
    Rule(pattern="federated comparisons?", use="federated baselines", scope="identifiers"),
    Rule(pattern="comparisons|flaws|input", use="new setting", scope="prose", followed_by="="),
    Rule(pattern="flaw(s|ed|less)?", use="protocol error"),
    Rule(
        pattern="(predecessor|forerunner)s?",
        use="the replicated implementation; the previous one",
    ),
    Rule(pattern="parity", use="replication"),
    Rule(pattern="fanouts?", use="MirroredTracker"),
    Rule(pattern="fan outs?", use="MirroredTracker"),
    Rule(pattern="mirrors?", use="remote store", scope="identifiers"),
    Rule(pattern="outbox(es)?", use="pending queue"),
    Rule(pattern="leash(ed)?|tether|rim|rooms|floors|walls", use="a plain word"),
    Rule(pattern="the|our house", use="the package", scope="prose"),
    Rule(pattern="strangers?", use="user; contributor; untrusted"),
    Rule(pattern="serving", use="models.classifier", followed_by=r"\.py"),
    # Data
    Rule(
        pattern="deal|deals|dealt|dealing",
        use="client partition; assign",
        exceptions=("great|good deal", "deals?|dealing with"),
    ),
    Rule(pattern="leaks?", use="leakage", scope="identifiers"),
    Rule(
        pattern="a|the|no|of|these|such leaks?",
        use="leakage",
        scope="prose",
        exceptions=("leaks? of memory",),
    ),
    Rule(pattern="held out", use="holdout", scope="identifiers"),
    Rule(pattern="descriptors?", use="handcrafted features", exceptions=("file descriptors?",)),
    Rule(pattern="usual beats?|mv", use="template"),
    Rule(pattern="usual", use="template", scope="identifiers"),
    Rule(
        pattern="unsteadiness",
        use="RR irregularity",
        exceptions=("rr unsteadiness",),  # a column of stored beats
    ),
    Rule(pattern="how early", use="prematurity", scope="identifiers"),
    Rule(pattern="pictur(e|es|ed)", use="image"),
    Rule(
        pattern="hearts?",
        use="patient; virtual patient",
        exceptions=(
            "heart beats?|rates?|failure|disease|rhythms?",
            "synthetic heart",  # a random stream
        ),
    ),
    Rule(pattern="man of", use="patient", scope="prose"),
    Rule(pattern="always n", use="majority-class baseline"),
    Rule(pattern="federated10", use="the renamed option"),
    # Messages and language
    Rule(pattern="type", use="use S=VALUE", scope="prose", followed_by=r"\s[\s'\"`f]*[a-z_.]+="),
    Rule(pattern="told", use="reported; called with; given"),
    Rule(pattern="speak(s|ing)?|spoken|hears?|heard|aloud", use="reports; receives; states"),
    Rule(pattern="go|goes|went|going on", use="continues; resumes"),
    Rule(pattern="is|are no numbers?|integers?", use="is not a number; is NaN or infinite"),
    Rule(pattern="mend(s|ed|ing)?", use="fix; correct"),
    Rule(
        pattern=r"\w*(behaviour|colour|favour|honour|vapour)\w*|licences?|grey(s|er)?"
        r"|cent(re|red|res|ring)|(un|mis|re)?label(led|ling)|(model|signal|travel|level)(led|ling)"
        r"|artefacts?|catalogues?|(re)?analys(e|ed|ing)|programmes?|whilst|fulfil|enrol",
        use="American spelling",
    ),
    Rule(
        pattern="(un|re|de|in)?(normal|initial|optim|general|regular|custom|summar|organ|recogn"
        "|minim|maxim|serial|random|author|penal|quant|local|personal|central|visual|standard|util"
        "|synchron|parallel|vector|anonym|discret|equal|categor|pseudonym|character|emphas|special)"
        "is(e|es|ed|er|ers|ing|ation|ations)",
        use="American spelling",
    ),
)

ALLOWED = (
    Allowed(
        path="ecgexp/data/preprocessing/pipeline.py",
        word="preparation",
        reason="part of a digest that caches and runs store",
    ),
    Allowed(
        path="ecgexp/data/synthetic/database.py",
        word="heart",
        reason="text of a synthetic header file, whose digest runs store",
    ),
    Allowed(
        path="ecgexp/training/federated/runtimes/in_process.py",
        word="prepare",
        reason="name of a part of TFF's aggregation process",
    ),
    Allowed(path="ecgexp/cli/fetch.py", word="progress", reason="rich's class of this name"),
    Allowed(path="ecgexp/console.py", word="progress", reason="rich's class of this name"),
    Allowed(
        path="ecgexp/training/step_randomness.py", word="coins", reason="name of a random stream"
    ),
    Allowed(path="ecgexp/cli/fetch.py", word="mirror", reason="a server that copies PhysioNet"),
)

_SUFFIXES = frozenset((".py", ".yaml", ".yml", ".md", ".toml", ".j2", ".html", ".cff"))
_EXCLUDED = {
    "CHANGELOG.md": "names the old words next to the new ones",
    "docs/reference/renamed.md": "names the old words next to the new ones",
    "scripts/check_vocabulary.py": "is the table of banned words",
    "ecgexp/settings/renamed.py": "names the old settings next to the new ones",
    "tests/unit/settings/test_renamed.py": "names the old settings",
    "tests/unit/test_vocabulary.py": "holds examples of banned words",
}

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
        if Path(path).suffix in _SUFFIXES and path not in _EXCLUDED and Path(path).is_file()
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
                for exception in map(_compile, rule.exceptions)
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
    """Return the words of an identifier; those of `lost_steps` and `LostSteps` are the same."""
    return tuple(_WORD.findall(token))


@cache
def _compile(pattern: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(word) for word in pattern.split(" "))


if __name__ == "__main__":
    sys.exit(main())
