"""The check of words finds what its table bans, and leaves ordinary English and libraries alone."""

import subprocess
import sys
from pathlib import Path

import check_vocabulary
import pytest
from check_vocabulary import check
from vocabulary.words import ALLOWED, RULES, Allowed

ROOT = Path(__file__).parents[2]


def words(path, text):
    return [finding.word for finding in check(path, text)]


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("a.py", "def lost_steps(): ...", "lost steps"),
        ("a.py", "class LostSteps: ...", "lost steps"),
        ("a.py", "LOST_STEPS = 1", "lost steps"),
        ("a.py", "has_promise = True", "promise"),
        ("a.py", "class Progress: ...", "progress"),
        ("a.py", 'value = "privacy.claim"', "claim"),
        ("a.py", '"""Return `is_reachable`."""', "reachable"),
        ("a.py", "x = 1  # the price of ε", "price"),
        ("a.py", 'f"{name} = {1}; type privacy.unit=patient"', "type"),
        ("a.py", 'x = ("type "\n     "trainer.sampling=poisson")', "type"),
        ("a.py", '"""The run\ngoes\n    on."""', "goes on"),
        ("a.py", "# The run goes\n# on.", "goes on"),
        ("a.yaml", "# beats dealt to clients", "dealt"),
        ("a.yaml", "claim: 1", "claim"),
        ("a.md", "Its promise holds.", "promise"),
        ("a.md", "The Predecessor's noise.", "predecessor"),
        ("a.md", "A run makes no claim.", "makes no claim"),
        ("a.md", "It costs ε = 3.", "costs ε"),
        ("a.md", "Normalisation by colour", "colour"),
        ("tests/test_coins.py", "", "coins"),
    ],
)
def test_banned_word_is_found(path, text, word):
    assert word in words(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "discarded_steps = 1  # a function reports progress"),
        ("a.py", "def on_progress(progress_bar): ..."),
        ("a.py", "# The paper claims 99 %.\n# A header that claims one sample."),
        ("a.py", "# beats on a held-out record\nprimary = trim(ideal)"),
        ("a.py", "def test(input): model(input=1, type=2)"),
        ("a.py", 'seeds.generator(f"synthetic/heart/{index}")'),
        ("a.py", "lost = steps"),
        ("a.md", "A good deal of the heart rate is in file descriptors."),
        ("a.md", "The computational cost of microbatches; it deals with memory."),
        ("a.md", "A leak of memory. Reachable servers. The usual settings."),
        ("a.md", "An open world with a floor and room for two."),
        ("a.yaml", "type: int\ninput_shape: 3"),
    ],
)
def test_ordinary_english_is_left_alone(path, text):
    assert words(path, text) == []


def test_findings_name_file_line_word_and_remedy():
    (found,) = check("docs/a.md", "One.\n\nIts coins are secret.")
    assert str(found) == "docs/a.md:3: coins; use per-step randomness"


def test_allowed_word_is_allowed_in_its_file_only(monkeypatch):
    monkeypatch.setattr(
        check_vocabulary, "ALLOWED", (Allowed(path="a.md", word="coins", reason="a stream"),)
    )
    assert words("a.md", "coins, prices") == ["prices"]
    assert words("b.md", "coins") == ["coins"]


def test_allowed_places_are_few_and_needed():
    assert len(ALLOWED) <= 20
    for place in ALLOWED:
        assert place.reason
        text = (ROOT / place.path).read_text(encoding="utf-8")
        without = Path("elsewhere", place.path).as_posix()  # a path that is not allowed
        assert place.word in words(without, text), f"{place} is not needed"


def test_every_rule_names_the_remedy():
    assert all(rule.use and rule.pattern for rule in RULES)


def test_command_exits_with_1_where_a_word_is_found(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = [sys.executable, str(ROOT / "scripts" / "check_vocabulary.py")]
    for text, code in (("A promise.\n", 1), ("A guarantee.\n", 0)):
        (tmp_path / "a.md").write_text(text, encoding="utf-8")
        subprocess.run(["git", "add", "a.md"], cwd=tmp_path, check=True)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("a.md:1: promise" in done.stdout) == bool(code)
