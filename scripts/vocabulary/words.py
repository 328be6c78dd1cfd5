"""The words that code, configuration and documentation avoid, with what to use instead."""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

Scope = Literal["identifiers", "prose", "both", "names"]


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
        return compile_words(self.pattern.lower())


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
    Allowed(path="ecgexp/console.py", word="progress", reason="rich's class of this name"),
    Allowed(
        path="ecgexp/training/step_randomness.py", word="coins", reason="name of a random stream"
    ),
    Allowed(path="ecgexp/cli/fetch.py", word="mirror", reason="a server that copies PhysioNet"),
)
EXCLUDED = {
    "CHANGELOG.md": "names the old words next to the new ones",
    "docs/reference/renamed.md": "names the old words next to the new ones",
    "scripts/vocabulary/words.py": "is the table of banned words",
    "ecgexp/settings/renamed.py": "names the old settings next to the new ones",
    "tests/unit/settings/test_renamed.py": "names the old settings",
    "tests/unit/test_vocabulary.py": "holds examples of banned words",
}


@cache
def compile_words(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Return the regular expression of each word of a pattern."""
    return tuple(re.compile(word) for word in pattern.split(" "))
